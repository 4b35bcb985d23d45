"""Attenuation of structures multiplied by random factors, as in FleXray."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from synthesis.images.simulator.patient import Patient
from synthesis.limits import above, at_least, within

DENSEST_LUNG = 0.75
"""Of water. What fills a lung has to stay brighter than it, or findings would mean something else."""

GAINS = {
    "lungs": "lung_density",
    "vessels": "vessel_gain",
    "heart": "heart_gain",
    "ribs": "rib_gain",
    "spine": "spine_gain",
    "girdle": "girdle_gain",
    "breasts": "breast",
}
"""Structure → the number of a patient by which its map is multiplied. Soft tissue is what they stand out
from, and is never scaled; lungs are scaled together, for one lobe denser than the others is a finding."""


@dataclass(frozen=True)
class AttenuationFactors:
    """A random factor for the attenuation of each structure of each film.

    From "FleXray" (Butoi, Gopalakrishnan, Dalca and Dey, 2026: lognormal of mode 1 and s.d. 1 in [0.1, 4],
    probability 0.5). Which structures are bright on a radiograph depends on energy, processing and patient;
    what is learnt should not hang on it. Findings are drawn as before, with the same random numbers.

    Attributes:
        probability: How often a structure gets a factor, in [0, 1], each by itself.
        least: Least factor, > 0.
        greatest: Greatest factor.
        spread: S.d. of the factor's logarithm; its mode is 1. 0.567 gives an s.d. of 1.
        structures: Of `GAINS`; all by default.
    """

    probability: float = 0.5
    least: float = 0.1
    greatest: float = 4.0
    spread: float = 0.567
    structures: tuple[str, ...] = tuple(GAINS)

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        within(self, 0, 1, probability=self.probability)
        above(self, 0, least=self.least, spread=self.spread)
        at_least(self, self.least, greatest=self.greatest)
        for name in self.structures:
            if name not in GAINS:
                raise ValueError(
                    f"AttenuationFactors: structures={list(self.structures)}: there is no {name!r}; "
                    f"give some of {', '.join(GAINS)}"
                )

    def factors(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw the factor of every structure: 1 for those that are left as they are.

        Every structure uses up the same random numbers whether it is in `structures` or not.
        """
        log_factor = NormalDist(self.spread**2, self.spread)  # its mode is then 1
        ends = [log_factor.cdf(math.log(end)) for end in (self.least, self.greatest)]
        found = {}
        for name, (chosen, place) in zip(GAINS, rng.random((len(GAINS), 2)), strict=True):
            share = min(max(ends[0] + float(place) * (ends[1] - ends[0]), 1e-12), 1 - 1e-12)
            scaled = name in self.structures and chosen < self.probability
            found[name] = math.exp(log_factor.inv_cdf(share)) if scaled else 1.0
        return found

    def change(self, patient: Patient, rng: np.random.Generator) -> Patient:
        """Return the patient with its structures' attenuation scaled.

        Args:
            patient: As it was drawn.
            rng: The stream of this film's factors.
        """
        found = self.factors(rng)
        gains = {gain: getattr(patient, gain) * found[name] for name, gain in GAINS.items()}
        gains["lung_density"] = min(gains["lung_density"], max(DENSEST_LUNG, patient.lung_density))
        return replace(patient, **gains)
