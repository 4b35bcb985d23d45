"""Bodies as wide as real ones: square shoulders, filled axillae, a waist, the right dome higher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.body import breasts
from synthesis.images.simulator.fields import above, hump, rise, sphere
from synthesis.images.simulator.patient import ParameterReader, Patient
from synthesis.limits import at_least

HEART_BORDER = (72.0, 6.0, 42.0, 52.0)  # mm: column and row about which it is drawn in, and over what widths
MOST_DRAWN_IN = 55.0  # mm: beyond, columns would be turned over
LIGHTEST, DENSEST = 0.15, 0.62  # of a lung, in densities of water


@dataclass(frozen=True)
class Build:
    """Means of a view, in mm, chosen on 430 development radiographs of NIH ChestX-ray14.

    Attributes:
        heavier: Shift of the build, in units of its s.d.
        foot: Row of the foot of the neck.
        axilla, waist: Half widths of the body.
        border: How far the left heart border is drawn in.
        domes: How far the right and the left dome lie lower.
        scatter: S.d. of each dome.
        scale: Factors of the width and height of the chest.
    """

    heavier: float
    foot: float
    axilla: float
    waist: float
    border: float
    domes: tuple[float, float]
    scatter: float
    scale: tuple[float, float]


STANDING = Build(0.0, -189.0, 232.0, 166.0, 9.0, (-14.0, 9.0), 20.0, (1.0, 1.0))
BEDSIDE = Build(0.2, -199.0, 218.0, 168.0, 18.0, (16.0, 28.0), 24.0, (0.97, 1.09))


@dataclass(frozen=True)
class Habitus:
    """Builds, domes, lungs and heart borders as varied as in patients, in a body of another outline.

    The body of `draw_patient` has sloping shoulders and flanks as straight as its hanging arms. On films
    shoulders are square, muscles of back, chest and shoulder fill the axillae, and the waist is narrower. The
    right dome is the higher one.

    Attributes:
        variety: Multiplies the s.d. of what is drawn anew, ≥ 0; 0 gives everyone the mean.
    """

    variety: float = 1.0

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        at_least(self, 0, variety=self.variety)

    def change(self, patient: Patient, rng: np.random.Generator, portable: bool) -> Patient:
        """Return the patient with another build.

        Args:
            patient: As it was drawn.
            rng: The stream of this patient's build.
            portable: Whether it is a bedside film: the patient is more often heavy, and lies.
        """
        mean = BEDSIDE if portable else STANDING
        n = [float(one) for one in self.variety * rng.normal(size=15)]
        build = n[0] + mean.heavier
        shape = [
            mean.foot + 9 * n[1],
            0.12 + 0.10 * n[2],  # slope of the shoulders
            mean.axilla + 9 * build + 8 * n[3],
            mean.waist + 12 * build + 9 * n[4],
            0.60 + 0.06 * n[5],  # depth at the axillae, as a share of the chest's
            min(max(mean.border + 14 * n[6], -MOST_DRAWN_IN), MOST_DRAWN_IN),
        ]
        domes = [
            dome + lower + mean.scatter * by
            for dome, lower, by in zip(patient.diaphragm, mean.domes, n[7:9], strict=True)
        ]
        (wide, tall), (heart, long) = patient.scale, patient.heart_scale
        across, down = patient.heart_shift
        return replace(
            patient,
            habitus=np.array(shape),
            torso=(patient.torso[0], 200 + 18 * build + 10 * n[9]),
            scale=(wide * mean.scale[0], tall * (mean.scale[1] + 0.04 * n[10])),
            diaphragm=(domes[0], domes[1]),
            lung_density=min(max(patient.lung_density + 0.05 * n[11], LIGHTEST), DENSEST),
            heart_scale=(min(max(heart + 0.06 * n[12], 0.8), 1.3), long),
            heart_shift=(across - 4, down + 5 * n[13]),
            mediastinum=patient.mediastinum + 2 + 2 * n[14],
            spine_gain=0.8 * patient.spine_gain,
        )

    def drawn_in(self, patients: Sequence[Patient], x: Tensor, y: Tensor) -> Tensor:
        """Return columns of the atlas with the left border of the heart drawn towards the midline.

        Args:
            patients: Whose border.
            x: Atlas column of every pixel in mm, (batch, height, width).
            y: Atlas row of every pixel in mm.
        """
        (inwards,) = _shapes(patients, x.device)[5:]
        column, row, across, down = HEART_BORDER
        return x.addcmul(hump(x - column, across).mul_(hump(y - row, down)), inwards)

    def soft_tissue(
        self, x: Tensor, y: Tensor, each: ParameterReader, patients: Sequence[Patient], breasted: bool
    ) -> Tensor:
        """Return the path through the body in mm as if the lungs were water, as `body.soft_tissue` does.

        Args:
            x: Atlas column of every pixel in mm, (batch, height, width).
            y: Atlas row of every pixel in mm.
            each: Reads a parameter of every patient.
            patients: Whose body.
            breasted: Whether breasts are there; else they are drawn by themselves.
        """
        foot, slope, axilla, waist, deep, _ = _shapes(patients, x.device)
        across = x.abs()
        # Deepest at the belly, thinnest at the apices; muscles fill the axillae.
        thickness = rise(y, 25, 60).mul_(0.62).add_(0.46)
        muscles = rise(y, -55, -18).mul_(rise(across, 95, 18)).mul_(deep)
        thickness = torch.maximum(thickness, muscles).mul_(each("torso", 1))
        flank = (1 - (across / torch.lerp(waist, axilla, rise(y, 0, -40))).square_()).clamp_(min=1e-8)
        beyond = (across - 48).relu_()
        trapezius = 26 * (1 - torch.exp2(beyond * (-1 / 14)))  # steep beside the neck
        below = y - trapezius.add_(foot).addcmul_(beyond, (0.0006 * beyond).add_(slope))
        torso = flank.log2_().mul_(0.36).exp2_().mul_(thickness).mul_(rise(below, 6, 7))
        neck = sphere(across * across, 50 + 16 * rise(y, -180, 10)).mul_(rise(y, -120, -20)).mul_(0.85)
        angle = torch.lerp(each("arm_angle", 0), each("arm_angle", 1), above(x, 0))
        off = torch.cos(angle).mul_(across - 204).addcmul_(torch.sin(angle), y + 108, value=-1)
        shown = torch.lerp(rise(y, -118, 8), rise(y, -96, -8), each("arms_raised"))
        arm = sphere(off.square_(), each("arm_radius")).mul_(0.85).mul_(shown)
        total = torch.maximum(torch.maximum(torso, neck), arm)
        return total.add_(breasts(across, y, each)) if breasted else total


def _shapes(patients: Sequence[Patient], device: torch.device) -> tuple[Tensor, ...]:
    """Return the numbers of `Patient.habitus`, each of all patients, (batch, 1, 1)."""
    table = np.stack([p.habitus for p in patients]).astype(np.float32)
    return torch.from_numpy(table).to(device).T[:, :, None, None].unbind(0)
