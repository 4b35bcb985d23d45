"""How patients and films vary beyond what the simulator draws by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from synthesis.images.simulator.attenuation import AttenuationFactors
from synthesis.images.simulator.crisp_anatomy import CrispAnatomy
from synthesis.images.simulator.exposure import Exposure
from synthesis.images.simulator.framing import Framing
from synthesis.images.simulator.grain import Grain
from synthesis.images.simulator.habitus import Habitus
from synthesis.images.simulator.inspiration import Inspiration
from synthesis.images.simulator.patient import Patient
from synthesis.images.simulator.population import Population
from synthesis.images.simulator.positioning import repositioned
from synthesis.images.simulator.tone import Tone
from synthesis.seeding import generator


@dataclass(frozen=True)
class Variations:
    """Each a switch, None where it is off. Each draws from a stream of its own.

    Attributes:
        tone: Tone curves that bring grey values to those of real radiographs.
        grain: Noise with the spectrum of averaged-down noise, in place of white noise.
        attenuation: Random factors of the attenuation of each structure.
        inspiration: Shallow and deep breaths, whatever the findings.
        crisp: Steeper surfaces, sharper bones, vessels and postures of each patient's own.
        population: Half of the anatomy, detector and textures of a place of its own.
        habitus: Builds and body outlines as varied as in patients.
        framing: Centring, arms, borders and beam as varied as on films.
    """

    tone: Tone | None = None
    grain: Grain | None = None
    attenuation: AttenuationFactors | None = None
    inspiration: Inspiration | None = None
    crisp: CrispAnatomy | None = None
    population: Population | None = None
    habitus: Habitus | None = None
    framing: Framing | None = None

    def switched_on(self) -> dict[str, Any]:
        """Return the settings of what is on, JSON-able."""
        given = {part.name: getattr(self, part.name) for part in fields(self)}
        on: dict[str, Any] = json.loads(
            json.dumps({name: asdict(part) for name, part in given.items() if part})
        )
        return on

    def patient(
        self, patient: Patient, poses: Sequence[int], seed: int, visit: int, portable: bool, placed_anew: bool
    ) -> Patient:
        """Return the patient as varied, and placed.

        Args:
            patient: As `draw_patient` draws.
            poses: Those of the atlas that the patient may be placed in.
            seed: That of the patient.
            visit: That of the film.
            portable: Whether the film is taken at the bedside.
            placed_anew: Whether the visit, not the patient, decides how the patient is placed.
        """
        if self.habitus is not None:
            patient = self.habitus.change(patient, generator(seed, "habitus"), portable)
        if self.inspiration is not None:
            patient = self.inspiration.change(patient, generator(seed, "inspiration"))
        if placed_anew:
            patient = repositioned(patient, generator(visit, "positioning"), poses, portable)
        if self.framing is not None:
            framed = visit if placed_anew else seed
            patient = self.framing.change(patient, generator(framed, "framing"), portable)
        if self.crisp is not None:
            patient = self.crisp.change(patient, generator(seed, "crisp"), portable)
        if self.population is not None:
            patient = self.population.change(patient, poses)
        if self.attenuation is not None:
            patient = self.attenuation.change(patient, generator(visit, "attenuation"))
        return patient

    def exposure(self, exposure: Exposure, visit: int, portable: bool) -> Exposure:
        """Return the exposure of a film as varied."""
        if self.population is not None:
            exposure = self.population.expose(exposure, generator(visit, "detector"))
        if self.tone is not None:
            exposure = self.tone.change(exposure, generator(visit, "tone"), portable)
        if self.grain is not None:
            exposure = self.grain.change(exposure, generator(visit, "grain"), portable)
        return exposure
