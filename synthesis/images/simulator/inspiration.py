"""How deeply patients breathe in: how much lung a film shows, whatever it finds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from synthesis.images.simulator.patient import Patient
from synthesis.limits import at_least, within

DOMES, HEIGHT, DENSITY, HEART = 11.0, 0.05, 0.04, 0.03
"""What one unit of inspiration changes: mm by which domes sink, share by which the chest is longer, density
that the lung loses, share by which a heart that rests on high domes is wider. As in `draw_patient`, where the
s.d. of inspiration is 0.55."""


@dataclass(frozen=True)
class Inspiration:
    """Shallow and deep breaths, as frequent in health as in disease.

    What lowers or raises the domes by itself (collapse, fluid, emphysema) should not be read from how much
    lung is seen. So some films are taken in shallow or very deep inspiration, by numbers that know nothing of
    the findings.

    Attributes:
        probability: Share of such films, in [0, 1].
        shallow: Deepest expiration, in units of inspiration, ≥ 0.
        deep: Deepest inspiration, ≥ 0.
    """

    probability: float = 0.5
    shallow: float = 3.0
    deep: float = 2.5

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        within(self, 0, 1, probability=self.probability)
        at_least(self, 0, shallow=self.shallow, deep=self.deep)

    def change(self, patient: Patient, rng: np.random.Generator) -> Patient:
        """Return the patient at another depth of inspiration, or as it is.

        Args:
            patient: As it was drawn.
            rng: The stream of this patient's breath.
        """
        chosen, depth = rng.random(2)
        if chosen >= self.probability:
            return patient
        deeper = float(depth) * (self.shallow + self.deep) - self.shallow
        right, left = (dome + DOMES * deeper for dome in patient.diaphragm)
        wide, high = patient.scale
        return replace(
            patient,
            diaphragm=(right, left),
            scale=(wide, min(max(high + HEIGHT * deeper, 0.78), 1.26)),
            lung_density=min(max(patient.lung_density - DENSITY * deeper, 0.15), 0.62),
            heart_scale=(patient.heart_scale[0] * (1 - HEART * min(deeper, 0.0)), patient.heart_scale[1]),
        )
