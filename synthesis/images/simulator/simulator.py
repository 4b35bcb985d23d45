"""The simulator: an image maker that computes radiographs from attenuation."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.devices import named_device, require_device
from synthesis.identity import identity
from synthesis.images.image_maker import MadeImages
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.anatomy_builder import AnatomyBuilder
from synthesis.images.simulator.atlas_mixture import AtlasFiles, AtlasMixture
from synthesis.images.simulator.attenuation import AttenuationFactors
from synthesis.images.simulator.crisp_anatomy import CrispAnatomy
from synthesis.images.simulator.detector import ATTENUATION, expose
from synthesis.images.simulator.drawing import Drawing
from synthesis.images.simulator.exposure import draw_exposure
from synthesis.images.simulator.findings import PAINTERS, Consequence, Painted, acting_once, paint
from synthesis.images.simulator.findings.devices import wire
from synthesis.images.simulator.framing import Framing
from synthesis.images.simulator.girdle import GIRDLES
from synthesis.images.simulator.grain import Grain
from synthesis.images.simulator.habitus import Habitus
from synthesis.images.simulator.inspiration import Inspiration
from synthesis.images.simulator.organs import organ_masks
from synthesis.images.simulator.overlay import Overlay, draw_overlay
from synthesis.images.simulator.patient import draw_patient
from synthesis.images.simulator.population import Population
from synthesis.images.simulator.tone import Tone
from synthesis.images.simulator.variations import Variations
from synthesis.images.simulator.visibility import Visibility
from synthesis.limits import at_least
from synthesis.reports.report import Report
from synthesis.seeding import generator

ALIKE = 16
"""Pictures of a multiple of so many pixels, and their half-size maps, fill the vectors of a CPU: all of a
chunk are computed alike. What does not fill a vector is computed by other functions, to another last bit."""

TYPICAL_FIELD = 320.0  # mm across a picture, for the choice of the atlas resolution


class Simulator:
    """Image maker: batched attenuation physics on an atlas from CTs.

    Every random number of a picture comes from its own seed, in one stream each for patient, exposure,
    overlay and every finding, so appearance is independent of the findings and a finding can be switched off
    alone. A finding must keep `visible_contrast` in its picture (mean change over its mask, against the
    texture there) and change at least `visible_area` pixels of 128×128; else it is drawn up to `strengthen`
    times stronger, else dropped from the case, so that no report mentions it.

    Args:
        image_size: Height and width in pixels.
        catalog: Concept catalogue file; the shipped one by default.
        atlas: Atlas file; the shipped one by default. Several, a folder, or a mapping to weights: a patient
            comes from one of them, drawn by a stream of its own.
        visible_contrast: Floor of the contrast-to-noise ratio.
        visible_change: Floor of the mean change in grey value over the mask.
        visible_area: Fewest pixels of a 128×128 picture.
        strengthen: Largest factor by which a faint finding is drawn again.
        clutter_rate: Mean number of external wires on a portable film (a third of it on others).
        consequences: What findings bring about beyond their own opacity, each a switch; none by default.
        chunk: Pictures per pass, fewer where they are larger than 128 px: a picture does not depend on its
            neighbours to the last bit. Use more on a GPU.
        device: Where to render.
        tone, grain, attenuation, inspiration, crisp, population, habitus, framing: See `Variations`.

    Raises:
        ValueError: The pictures would be smaller than 64 px, or a concept of the catalogue is sampled
            but has no painter.
    """

    version: int = 2  # of the results, see synthesis.identity

    def __init__(
        self,
        image_size: int = 128,
        catalog: str | Path | None = None,
        atlas: AtlasFiles = None,
        visible_contrast: float = 1.6,
        visible_change: float = 0.05,
        visible_area: int = 10,
        strengthen: float = 3.0,
        clutter_rate: float = 0.9,
        chunk: int = 16,
        device: str = "cpu",
        consequences: Sequence[Consequence] = (),
        tone: Tone | None = None,
        grain: Grain | None = None,
        attenuation: AttenuationFactors | None = None,
        inspiration: Inspiration | None = None,
        crisp: CrispAnatomy | None = None,
        population: Population | None = None,
        habitus: Habitus | None = None,
        framing: Framing | None = None,
    ) -> None:
        at_least(self, 0, visible_contrast=visible_contrast, visible_change=visible_change)
        at_least(self, 0, visible_area=visible_area, clutter_rate=clutter_rate)
        at_least(self, 1, strengthen=strengthen, chunk=chunk)
        self.visibility = Visibility(visible_contrast, visible_change, visible_area, strengthen)
        self.variations = Variations(
            tone, grain, attenuation, inspiration, crisp, population, habitus, framing
        )
        if not 64 <= image_size <= 2048:
            raise ValueError(
                f"image_size={image_size}: give 64 to 2048 px: findings vanish below, memory above"
            )
        self.image_size, self.chunk, self.device = image_size, chunk, named_device(self, device)
        self.clutter_rate, self.consequences = clutter_rate, acting_once(consequences)
        self.catalog = ConceptCatalog(catalog)
        self.atlases = AtlasMixture(atlas)
        unpainted = [
            c.name for c in self.catalog if c.sampled and c.name != "no_finding" and c.name not in PAINTERS
        ]
        if unpainted:
            raise ValueError(f"the simulator has no painter for {unpainted}: add one, or set sampled: false")
        self._builder: AnatomyBuilder | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps out when a worker process gets a copy: it loads its own."""
        return self.__dict__ | {"_builder": None}

    @property
    def builder(self) -> AnatomyBuilder:
        """The atlas at this resolution, loaded at first use."""
        if self._builder is None:
            require_device(self, self.device)
            atlas = self.atlases.load(target_spacing=0.85 * TYPICAL_FIELD / self.image_size)
            varied = self.variations
            self._builder = AnatomyBuilder(atlas, self.image_size, self.device, varied.crisp, varied.habitus)
            if varied.population is not None:
                self._builder.texture_seed = varied.population.texture_seed
        return self._builder

    def describe(self) -> dict[str, Any]:
        """Return what the pictures depend on, for fingerprints."""
        return {
            "atlas_sha256": self.atlases.hashes(self.builder.atlas),
            "catalog_sha256": self.catalog.sha256,
            "image_size": self.image_size,
            "visible": list(astuple(self.visibility)),
            "clutter_rate": self.clutter_rate,
            **({"consequences": [identity(c) for c in self.consequences]} if self.consequences else {}),
        } | self.variations.switched_on()

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        """Render cases. Reports are ignored: the case holds all that is drawn.

        Args:
            cases: What to show.
            reports: Ignored.
            seeds: One a picture.

        Returns:
            Pictures, exact masks and the cases shown.
        """
        return self.revisit(cases, seeds, seeds)

    def revisit(self, cases: Sequence[Case], seeds: Sequence[int], visits: Sequence[int]) -> MadeImages:
        """Render patients at another visit: the same anatomy, another exposure, overlay and noise.

        Args:
            cases: What to show.
            seeds: One a patient, as for `make`.
            visits: One a visit: the seed of all that is not the patient's.

        Returns:
            Pictures, exact masks and the cases shown.
        """
        return self._made(self.draw(cases, seeds, visits))

    def rerender(self, cases: Sequence[Case], seeds: Sequence[int], visits: Sequence[int]) -> MadeImages:
        """Render patients once more: as `revisit`, and placed anew before the detector.

        Args:
            cases: What to show.
            seeds: One a patient, as for `make`.
            visits: The seed of all that is neither the patient's nor a finding's.

        Returns:
            Pictures, exact masks and the cases shown.
        """
        return self._made(self.draw(cases, seeds, visits, placed_anew=True))

    def _made(self, drawings: Iterable[Drawing]) -> MadeImages:
        images, masks, shown = [], [], []
        for drawing in drawings:
            picture, mask = self._develop(drawing)
            images.append(picture)
            masks.append(mask)
            shown.append(drawing.case)
        return MadeImages(torch.stack(images)[:, None], masks, tuple(shown))

    def draw(
        self,
        cases: Sequence[Case],
        seeds: Sequence[int],
        visits: Sequence[int] | None = None,
        placed_anew: bool = False,
    ) -> Iterator[Drawing]:
        """Yield drawings, from which pictures and counterfactual twins develop.

        One chunk at a time: a drawing holds some 2 MB at 128 px, and memory that is used again at once is
        several times faster than fresh pages.

        Args:
            cases: What to show.
            seeds: One a patient.
            visits: One a visit, see `revisit`; None takes the seeds.
            placed_anew: Whether the visit places the patient anew, see `rerender`.
        """
        together = max(1, min(self.chunk, self.chunk * 128**2 // self.image_size**2))
        together = together if self.image_size % ALIKE == 0 else 1
        for start in range(0, len(cases), together):
            part = slice(start, start + together)
            with torch.inference_mode(), _one_thread(self.device):
                drawings = self._draw(cases[part], seeds[part], (visits or seeds)[part], placed_anew)
            yield from drawings

    def twins(
        self, cases: Sequence[Case], seeds: Sequence[int], which: Sequence[int]
    ) -> tuple[MadeImages, Tensor]:
        """Render cases and their counterfactual twins: the same patient, exposure and noise, one finding off.

        Args:
            cases: What to show.
            seeds: One a picture.
            which: Index of the finding of each case to switch off, counted in the case shown.

        Returns:
            The pictures as `make` gives them, and the twins (batch, 1, height, width).
        """
        images, masks, shown, twins = [], [], [], []
        for drawing, finding in zip(self.draw(cases, seeds), which, strict=True):
            picture, mask = self._develop(drawing)
            images.append(picture)
            masks.append(mask)
            shown.append(drawing.case)
            with torch.inference_mode(), _one_thread(self.device):
                twins.append(drawing.pictures([finding]))
        return MadeImages(torch.stack(images)[:, None], masks, tuple(shown)), torch.stack(twins)

    def organs(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Tensor]:
        """Return where the organs are in pictures: see `OrganImageMaker.organs`.

        Args:
            cases: What to show.
            seeds: One a picture.
        """
        with torch.inference_mode(), _one_thread(self.device):
            return [organ_masks(drawing) for drawing in self.draw(cases, seeds)]

    def _develop(self, drawing: Drawing) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(), _one_thread(self.device):
            pictures = drawing.developed
            if pictures is None:
                pictures = drawing.pictures([None, *range(len(drawing.changes))])
            levels = pictures * 255
            change = (levels[:1] - levels[1:]).abs_()
            levels.round_()
            # A finding is where leaving it out would change the 8-bit picture, or nearly so (no speckle).
            masks = torch.maximum(change, (levels[:1] - levels[1:]).abs_()) > 0.4
        return pictures[0], masks

    def _draw(
        self, cases: Sequence[Case], seeds: Sequence[int], visits: Sequence[int], placed_anew: bool
    ) -> list[Drawing]:
        builder = self.builder
        patients = []
        for case, seed, visit in zip(cases, seeds, visits, strict=True):
            poses = builder.atlas.of_view(case.view, self.atlases.choose(seed))
            portable = case.view == "AP"
            patient = draw_patient(generator(seed, "patient"), poses, GIRDLES, portable)
            alike = builder.atlas.like(patient.pose)
            patients.append(self.variations.patient(patient, alike, seed, visit, portable, placed_anew))
        anatomies = builder.build(patients)
        healthy = torch.stack(
            [self._cluttered(a, c, s) for a, c, s in zip(anatomies, cases, visits, strict=True)]
        )
        exposures = [
            self.variations.exposure(draw_exposure(generator(visit, "exposure"), portable), visit, portable)
            for portable, visit in zip([case.view == "AP" for case in cases], visits, strict=True)
        ]
        detector = expose(healthy, exposures)
        drawings = []
        for i, (case, seed, visit) in enumerate(zip(cases, seeds, visits, strict=True)):
            again = functools.partial(self._paint, seed=seed)
            changes, without = again(case, anatomies[i])
            overlay, strengths = self._overlay(case, visit), [1.0] * len(changes)
            drawing = Drawing(
                case, anatomies[i], healthy[i], detector.one(i), overlay, changes, strengths, without
            )
            drawings.append(self.visibility.ensure(drawing, again))
        return drawings

    def _paint(self, case: Case, anatomy: Anatomy, seed: int) -> Painted:
        stream = functools.partial(generator, seed)
        return paint(case, anatomy, self.catalog, PAINTERS, self.consequences, stream)

    def _overlay(self, case: Case, visit: int) -> Overlay:
        portable, framing = case.view == "AP", self.variations.framing
        rng = generator(visit, "overlay")
        overlay = draw_overlay(rng, self.image_size, portable, borders=framing is None)
        if framing is not None:
            overlay = framing.bordered(overlay, generator(visit, "borders"), portable)
        return Overlay(overlay.value.to(self.device), overlay.alpha.to(self.device))

    def _cluttered(self, anatomy: Anatomy, case: Case, seed: int) -> Tensor:
        """Return the line integral of a healthy chest with the wires that lie on it."""
        rng = generator(seed, "clutter")
        rate = self.clutter_rate if case.view == "AP" else self.clutter_rate / 3
        wires = [wire(anatomy, rng) for _ in range(min(4, int(rng.poisson(rate))))]
        base = anatomy.base + functools.reduce(torch.maximum, wires) if wires else anatomy.base
        if (framing := self.variations.framing) is not None:
            beam = framing.uneven(self.image_size, generator(seed, "beam"), case.view == "AP")
            base = base + beam.to(self.device) / ATTENUATION
        return base


@contextlib.contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Render on one thread: the number of threads decides how sums are split, and so the last bits."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
