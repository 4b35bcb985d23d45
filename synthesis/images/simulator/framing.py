"""How films are framed: where the patient and the arms are in the field, borders, an uneven beam."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.overlay import Overlay
from synthesis.images.simulator.patient import Patient
from synthesis.limits import at_least, within

FIELD = 375.0  # mm, of the usual film


@dataclass(frozen=True)
class Framing:
    """Centring, zoom, turn, arms, borders and beam as varied as on films that nobody has cropped.

    Attributes:
        off_centre: Multiplies the s.d. of centring, zoom and turn, ≥ 0.
        borders: Share of PA films with black or white borders outside of the exposed field, in [0, 1]; three
            fifths of it on AP films.
        beam: S.d. of the unevenness of the beam (heel of the anode, grid off its focus), as the logarithm of
            the exposure from the middle to the edge, ≥ 0; half as much again on AP films.
    """

    off_centre: float = 1.0
    borders: float = 0.7
    beam: float = 0.16

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        at_least(self, 0, off_centre=self.off_centre, beam=self.beam)
        within(self, 0, 1, borders=self.borders)

    def change(self, patient: Patient, rng: np.random.Generator, portable: bool) -> Patient:
        """Return the patient framed otherwise.

        Args:
            patient: As it was drawn.
            rng: The stream of this patient's framing.
            portable: Whether it is a bedside film: worse centred.
        """
        n = self.off_centre * rng.normal(size=5)
        loose = 1.4 if portable else 1.0
        wide, high = patient.scale
        low, high = (0.2, 0.9) if portable else (0.4, 1.1)  # of the arms: hanging, or out of the field
        arms = rng.uniform(low, high, 2)
        aspect = math.exp(0.05 * float(n[3]))
        return replace(
            patient,
            field=FIELD * (patient.field / FIELD) ** 0.7 * math.exp(0.03 * float(n[4])),
            centre=(
                patient.centre[0] + 5 + 11 * loose * float(n[0]),
                patient.centre[1] + (16 if portable else 6) + 4 * loose * float(n[1]),
            ),
            rotation=patient.rotation + 1.2 * loose * float(n[2]),
            scale=(wide * aspect, high / aspect),
            arm_angle=(float(arms[0]), float(arms[1])),
        )

    def uneven(self, size: int, rng: np.random.Generator, portable: bool) -> Tensor:
        """Return what the beam lacks, (size, size), in logarithms of the exposure: planes and a bowl."""
        line = torch.linspace(-1, 1, size)
        down, across, bowl = (float(one) for one in rng.normal(size=3) * (0.8, 1.0, 0.5))
        field = down * line[:, None] + across * line + bowl * (line[:, None] ** 2 + line**2 - 2 / 3)
        return field * (self.beam * (1.5 if portable else 1.0))

    def bordered(self, overlay: Overlay, rng: np.random.Generator, portable: bool) -> Overlay:
        """Return an overlay with borders below its markers.

        Args:
            overlay: As it was drawn.
            rng: The stream of this film's borders.
            portable: Whether it is an AP film.
        """
        size = overlay.value.shape[-1]
        share, *edge = rng.random(9)
        turn, *depth = rng.normal(size=5)
        if share >= self.borders * (0.6 if portable else 1.0):
            return overlay
        line = torch.linspace(-1, 1, size)
        angle = math.radians(1.3) * float(turn)
        across = line * math.cos(angle) + line[:, None] * math.sin(angle)
        down = line[:, None] * math.cos(angle) - line * math.sin(angle)
        value, alpha = torch.zeros(size, size), torch.zeros(size, size)
        sides = (-across, across, -down, down)  # left, right, top, bottom: positive towards the border
        often = (0.35, 0.45, 0.35, 0.06)
        for k, way in enumerate(sides):
            if edge[k] >= often[k]:
                continue
            at = 1 - min(0.35, 0.03 + 0.07 * abs(float(depth[k])) ** 1.5)
            beyond = ((way - at) * (size / 2)).sigmoid_()  # half a pixel of penumbra
            white = edge[4 + k] < (0.3 if k == 3 else 0.03)
            shade = 0.97 if white else 0.02
            value = torch.lerp(value, torch.full_like(value, shade), beyond)
            alpha = torch.maximum(alpha, beyond)
        alpha = torch.where(alpha < 0.02, 0.0, alpha)
        return Overlay(torch.lerp(value, overlay.value, overlay.alpha), 1 - (1 - alpha) * (1 - overlay.alpha))
