"""Healthy anatomy as crisp as a film: steep surfaces, sharp bones, and what a CT's maps cannot give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.images.simulator.atlas import MAP_NAMES, Atlas
from synthesis.images.simulator.fields import hump, rise, sphere, step
from synthesis.images.simulator.girdle import GIRDLES, POSED, girdle_maps, posed_girdle_maps
from synthesis.images.simulator.patient import ParameterReader, Patient
from synthesis.images.simulator.vessel_tree import vessel_map
from synthesis.limits import at_least

LOBES = 5  # the first maps of an atlas
BONES = ("ribs_posterior", "ribs_anterior", "sternum", "spine")
NUMBERS = 64  # of a patient's own details
VESSELS, POSTURE, AORTA, GAS = 0, 1, 5, 9  # where in them the numbers of each begin
DEEP = 80.0  # mm of lung from which vessels are seen in full
CONTRAST = 1.2  # of a vessel that is drawn, to one of the CT's at the same gain
MANY = 0.85  # power of a vessel's path with which it stands out


@dataclass(frozen=True)
class CrispAnatomy:
    """What makes healthy chests crisper, each part a switch and off by default.

    Attributes:
        surfaces: How far domes, recesses, heart border and chest wall are steepened, in mm.
        bones: Gain of the edges of ribs, sternum and vertebrae.
        vessels: Share of the vessels that is drawn anew for each patient; the CT's own make up the rest.
        organs: Whether aortic knob, tracheal air, lower edges of breasts, and bowel gas with fluid levels
            and haustra are drawn.
        postures: Whether arms hang, are turned out of the field or are raised, and scapulae lie on or off
            the lung.
    """

    surfaces: float = 0.0
    bones: float = 0.0
    vessels: float = 0.0
    organs: bool = False
    postures: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        at_least(self, 0, surfaces=self.surfaces, bones=self.bones, vessels=self.vessels)
        if self.vessels > 1:
            raise ValueError(f"CrispAnatomy: vessels={self.vessels}: give a share from 0 to 1")

    def change(self, patient: Patient, rng: np.random.Generator, portable: bool) -> Patient:
        """Return the patient with the numbers of its details, and its arms in a posture.

        Args:
            patient: As it was drawn.
            rng: The stream of this patient's details.
            portable: Whether it is a bedside film: arms lie beside the body more often.
        """
        details = rng.random(NUMBERS)
        patient = replace(patient, details=details)
        if not self.postures:
            return patient
        posture, number, *turn = details[POSTURE : POSTURE + 4]
        down, out = (0.5, 0.4) if portable else (0.12, 0.8)
        if posture < down:
            return patient
        girdle = GIRDLES + int(number * POSED)
        if posture < down + out:
            angles = [0.5 + 0.7 * float(one) for one in turn]
            return replace(patient, girdle=girdle, arm_angle=(angles[0], angles[1]))
        angles = [-0.15 - 0.5 * float(one) for one in turn]
        return replace(patient, girdle=girdle + POSED, arm_angle=(angles[0], angles[1]), arms_raised=1.0)

    def girdles(self, spacing: float) -> Tensor:
        """Return further girdles, those of other postures than hanging arms."""
        return posed_girdle_maps(spacing) if self.postures else girdle_maps(spacing)[:0]

    def aorta(self, each: ParameterReader, patients: Sequence[Patient], x: Tensor, y: Tensor) -> Tensor:
        """Return the path through aortic arch and descending aorta in mm, where they stand out.

        Args:
            each: Reads a parameter of every patient.
            patients: Whose aorta.
            x: Atlas column of every pixel in mm, (batch, height, width).
            y: Atlas row of every pixel in mm.
        """
        numbers = np.stack([p.details[AORTA : AORTA + 4] for p in patients]).astype(np.float32)
        size, out, high, unfold = torch.from_numpy(numbers).to(x.device).T[:, :, None, None]
        radius, row = 13 + 8 * size, -66 + 14 * high
        column = 17 + 7 * out + each("heart_shift", 0)
        knob = sphere((x - column).square().add_((y - row).square()), radius)
        course = (14 + 10 * unfold) + (4 + 8 * unfold) * hump(y - 20, 60)
        down = sphere((x - course).square(), 0.75 * radius).mul_(rise(y, row, 4))
        return torch.maximum(knob, down.mul_(0.7))

    def bowel_gas(self, patients: Sequence[Patient], x: Tensor, y: Tensor) -> Tensor:
        """Return gas in stomach and colon, in mm of water that it replaces: pockets and haustra.

        Args:
            patients: Whose gas: where there is any, as `Patient.gas` says.
            x: Atlas column in mm, (batch, height, width).
            y: Atlas row in mm.
        """
        total = torch.zeros_like(x)
        for i, patient in enumerate(patients):
            balls, level = _pockets(patient)
            if not len(balls):
                continue
            cx, cy, radius = torch.from_numpy(balls.astype(np.float32)).to(x.device).T[:, :, None, None]
            gas = sphere((x[i] - cx).square_().add_((y[i] - cy).square_()), radius).amax(dim=0)
            total[i] = gas.mul_(step(level - y[i], 5.0)).clamp_(max=34).mul_(0.75)
        return total

    def with_vessels(
        self,
        atlas: Atlas,
        patients: Sequence[Patient],
        x: Tensor,
        y: Tensor,
        vessels: Tensor,
        lungs: Tensor,
    ) -> Tensor:
        """Return vessels of which a share is drawn anew, in mm of water.

        Args:
            atlas: Where hila and lungs are.
            patients: Whose vessels.
            x: Atlas column of every pixel in mm, (batch, height, width).
            y: Atlas row of every pixel in mm.
            vessels: The CT's own.
            lungs: Path through the lung, beyond which no vessel is seen.
        """
        drawn = torch.stack(
            [
                p.vessel_gain ** (1 / MANY)
                * vessel_map(atlas.poses[p.pose], atlas.spacing, p, x[i], y[i], _stream(p, VESSELS))
                for i, p in enumerate(patients)
            ]
        )
        # Thin vessels stand out more than their path says, for they are many, one behind the other.
        drawn.pow_(MANY).mul_((lungs * (1 / DEEP)).clamp_(max=1)).mul_(CONTRAST * self.vessels)
        return drawn.add_(vessels, alpha=1 - self.vessels)

    def sharpened(self, maps: Tensor, spacing: float) -> Tensor:
        """Return maps (pose, map, row, column) with steep lungs and sharp bones."""
        maps = maps.clone()
        if self.surfaces:
            lungs = maps[:, :LOBES].sum(dim=1)
            steep = steepened(lungs, self.surfaces / spacing)
            maps[:, :LOBES] *= (steep / lungs.clamp(min=0.5))[:, None].clamp(0, 4)
            for name in ("heart", "trachea"):
                at = MAP_NAMES.index(name)
                maps[:, at] = steepened(maps[:, at], 0.5 * self.surfaces / spacing)
        if self.bones:
            these = [MAP_NAMES.index(name) for name in BONES]
            bones = maps[:, these]
            fine, wide = (bones - _smoothed(bones, width / spacing) for width in (1.6, 3.5))
            maps[:, these] = (bones + self.bones * (1.6 * fine + 0.9 * wide)).clamp_(min=0)
        return maps


def _stream(patient: Patient, place: int) -> np.random.Generator:
    """Return random numbers that one of the patient's details begins."""
    return np.random.default_rng(int(patient.details[place] * 2**53))


def _pockets(patient: Patient) -> tuple[np.ndarray, float]:
    """Return balls of gas (column, row, radius in mm) and the row of the fluid below the stomach's."""
    random = np.random.default_rng(int(patient.details[GAS] * 2**53))
    balls: list[tuple[float, float, float]] = []
    level = 400.0
    if patient.gas[0] < 0.75:  # under the left dome
        column, row, size = random.normal(62, 10), random.normal(106, 7), random.uniform(10, 21)
        around = random.normal(0, 0.55, (4, 2)) * (1.5 * size, 0.6 * size)
        balls += [(column + dx, row + dy, size * random.uniform(0.6, 1)) for dx, dy in around]
        if random.random() < 0.6:
            level = row + random.uniform(-2, 8)
    for there, column, row in ((patient.gas[1] < 0.45, 100.0, 140.0), (patient.gas[2] < 0.35, -88.0, 162.0)):
        if there:  # a flexure: haustra along an arc
            size, heading = random.uniform(9, 15), random.uniform(0, np.pi)
            for _ in range(int(random.integers(3, 7))):
                balls.append((column, row, size * random.uniform(0.8, 1.2)))
                heading += random.normal(0, 0.6)
                column, row = column + 1.35 * size * np.cos(heading), row + 1.2 * size * abs(np.sin(heading))
    return np.array(balls).reshape(-1, 3), level


def steepened(maps: Tensor, distance: float) -> Tensor:
    """Move both sides of each edge towards its steepest place: the shock filter of Osher and Rudin (1990).

    Args:
        maps: (pose, row, column).
        distance: How far values move, in pixels.
    """
    steps = max(1, round(distance / 0.35))
    limit = 0.035 * float(maps.amax())
    for _ in range(steps):
        smooth = _smoothed(maps, 1.2)
        down, across = _central(smooth)
        strength = (down.square() + across.square()).sqrt()
        rows, columns = _central(down)[0], _central(across)[1]
        mixed = _central(down)[1]
        bend = down.square() * rows + 2 * down * across * mixed + across.square() * columns
        direction = torch.tanh(bend / (strength.square() + 1e-3) / (0.05 * limit + 1e-6))
        # Soft gradients, as of a lung's depth, are no edges.
        edge = strength.square() / (strength.square() + limit**2)
        maps = maps - 0.35 * direction * edge * _upwind(maps, direction)
    return maps


def _upwind(maps: Tensor, direction: Tensor) -> Tensor:
    """Return the length of the gradient from the side that values come from: no new extremes."""
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    middle = padded[:, 1:-1, 1:-1]
    up, below = middle - padded[:, :-2, 1:-1], padded[:, 2:, 1:-1] - middle
    left, right = middle - padded[:, 1:-1, :-2], padded[:, 1:-1, 2:] - middle
    falling = up.clamp(min=0).square() + below.clamp(max=0).square()
    falling = falling + left.clamp(min=0).square() + right.clamp(max=0).square()
    rising = up.clamp(max=0).square() + below.clamp(min=0).square()
    rising = rising + left.clamp(max=0).square() + right.clamp(min=0).square()
    return torch.where(direction > 0, falling, rising).sqrt()


def _central(maps: Tensor) -> tuple[Tensor, Tensor]:
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return down, (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2


def _smoothed(maps: Tensor, sigma: float) -> Tensor:
    """Return maps (…, row, column) under a Gaussian of a standard deviation in pixels."""
    reach = max(1, round(2.5 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None])
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    return flat.view(maps.shape)
