"""The simulator: an image maker that computes radiographs from attenuation."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
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
from synthesis.images.simulator.detector import ATTENUATION, blurred, expose
from synthesis.images.simulator.drawing import Drawing
from synthesis.images.simulator.exposure import Exposure, draw_exposure
from synthesis.images.simulator.fields import above
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
from synthesis.images.simulator.positioning import repositioned
from synthesis.images.simulator.tone import Tone
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
        tone: Tone curves that bring grey values to those of real radiographs; None for none.
        grain: Noise with the spectrum of averaged-down noise; None for white noise.
        attenuation: Random factors of the attenuation of each structure; None for none.
        inspiration: Shallow and deep breaths, whatever the findings; None for those of `draw_patient`.
        crisp: Steeper surfaces, sharper bones, vessels and postures of each patient's own; None for none.
        population: Half of the anatomy, detector and textures of a place of its own; None for everybody.
        habitus: Builds and body outlines as varied as in patients; None for those of `draw_patient`.
        framing: Centring, arms, borders and beam as varied as on films; None for those of `draw_patient`.

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
        if not 64 <= image_size <= 2048:
            raise ValueError(
                f"image_size={image_size}: give 64 to 2048 px: findings vanish below, memory above"
            )
        self.image_size, self.chunk, self.device = image_size, chunk, named_device(self, device)
        self.visible_contrast, self.visible_change = visible_contrast, visible_change
        self.visible_area, self.strengthen, self.clutter_rate = visible_area, strengthen, clutter_rate
        self.consequences = acting_once(consequences)
        self.tone, self.grain, self.attenuation = tone, grain, attenuation
        self.inspiration, self.crisp, self.population = inspiration, crisp, population
        self.habitus, self.framing = habitus, framing
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
            self._builder = AnatomyBuilder(atlas, self.image_size, self.device, self.crisp, self.habitus)
            if self.population is not None:
                self._builder.texture_seed = self.population.texture_seed
        return self._builder

    def describe(self) -> dict[str, Any]:
        """Return what the pictures depend on, for fingerprints."""
        return {
            "atlas_sha256": self.atlases.hashes(self.builder.atlas),
            "catalog_sha256": self.catalog.sha256,
            "image_size": self.image_size,
            "visible": [self.visible_contrast, self.visible_change, self.visible_area, self.strengthen],
            "clutter_rate": self.clutter_rate,
            **({"consequences": [identity(c) for c in self.consequences]} if self.consequences else {}),
        } | self._switched_on()

    def _switched_on(self) -> dict[str, Any]:
        """Return the settings of what is off by default and on here, JSON-able."""
        names = ("tone", "grain", "attenuation", "inspiration", "crisp", "population", "habitus", "framing")
        given = {name: getattr(self, name) for name in names}
        on: dict[str, Any] = json.loads(
            json.dumps({name: asdict(part) for name, part in given.items() if part})
        )
        return on

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
            if self.habitus is not None:
                patient = self.habitus.change(patient, generator(seed, "habitus"), portable)
            if self.inspiration is not None:
                patient = self.inspiration.change(patient, generator(seed, "inspiration"))
            if placed_anew:
                alike = builder.atlas.like(patient.pose)
                patient = repositioned(patient, generator(visit, "positioning"), alike, portable)
            if self.framing is not None:
                framed = visit if placed_anew else seed
                patient = self.framing.change(patient, generator(framed, "framing"), portable)
            if self.crisp is not None:
                patient = self.crisp.change(patient, generator(seed, "crisp"), portable)
            if self.population is not None:
                patient = self.population.change(patient, builder.atlas.like(patient.pose))
            if self.attenuation is not None:
                patient = self.attenuation.change(patient, generator(visit, "attenuation"))
            patients.append(patient)
        anatomies = builder.build(patients)
        healthy = torch.stack(
            [self._cluttered(a, c, s) for a, c, s in zip(anatomies, cases, visits, strict=True)]
        )
        exposures = [self._exposure(case, visit) for case, visit in zip(cases, visits, strict=True)]
        detector = expose(healthy, exposures)
        drawings = []
        for i, (case, seed, visit) in enumerate(zip(cases, seeds, visits, strict=True)):
            portable, plain = case.view == "AP", self.framing is None
            overlay = draw_overlay(generator(visit, "overlay"), self.image_size, portable, borders=plain)
            if self.framing is not None:
                overlay = self.framing.bordered(overlay, generator(visit, "borders"), portable)
            overlay = Overlay(overlay.value.to(self.device), overlay.alpha.to(self.device))
            changes, without = self._paint(case, anatomies[i], seed)
            strengths = [1.0] * len(changes)
            drawing = Drawing(
                case, anatomies[i], healthy[i], detector.one(i), overlay, changes, strengths, without
            )
            drawings.append(self._make_visible(drawing, seed))
        return drawings

    def _paint(self, case: Case, anatomy: Anatomy, seed: int) -> Painted:
        stream = functools.partial(generator, seed)
        return paint(case, anatomy, self.catalog, PAINTERS, self.consequences, stream)

    def _exposure(self, case: Case, visit: int) -> Exposure:
        portable = case.view == "AP"
        exposure = draw_exposure(generator(visit, "exposure"), portable)
        if self.population is not None:
            exposure = self.population.expose(exposure, generator(visit, "detector"))
        if self.tone is not None:
            exposure = self.tone.change(exposure, generator(visit, "tone"), portable)
        if self.grain is not None:
            exposure = self.grain.change(exposure, generator(visit, "grain"), portable)
        return exposure

    def _cluttered(self, anatomy: Anatomy, case: Case, seed: int) -> Tensor:
        """Return the line integral of a healthy chest with the wires that lie on it."""
        rng = generator(seed, "clutter")
        rate = self.clutter_rate if case.view == "AP" else self.clutter_rate / 3
        wires = [wire(anatomy, rng) for _ in range(min(4, int(rng.poisson(rate))))]
        base = anatomy.base + functools.reduce(torch.maximum, wires) if wires else anatomy.base
        if self.framing is not None:
            beam = self.framing.uneven(self.image_size, generator(seed, "beam"), case.view == "AP")
            base = base + beam.to(self.device) / ATTENUATION
        return base

    def _make_visible(self, drawing: Drawing, seed: int) -> Drawing:
        """Strengthen findings that are too faint, and drop those that stay so."""
        if not drawing.changes:
            return drawing
        contrast = self._relative_contrast(drawing)
        faint = [k for k, c in enumerate(contrast) if c < 1.0]
        for k in faint:
            drawing.strengths[k] = float(min(self.strengthen, 1.25 / max(contrast[k], 0.05)))
        if faint:
            contrast = self._relative_contrast(drawing)
        kept = [k for k, c in enumerate(contrast) if c >= 1.0]
        if len(kept) < len(contrast):
            case = replace(drawing.case, findings=tuple(drawing.case.findings[k] for k in kept))
            changes, without = [drawing.changes[k] for k in kept], drawing.without
            if without:  # what is left may be drawn otherwise without what was dropped
                changes, without = self._paint(case, drawing.anatomy, seed)
            drawing = replace(
                drawing,
                case=case,
                changes=changes,
                without=without,
                strengths=[drawing.strengths[k] for k in kept],
                developed=None,
            )
        drawing.contrast = [contrast[k] for k in kept]
        return drawing

    def _relative_contrast(self, drawing: Drawing) -> list[float]:
        """Return each finding's contrast over its floor (below 1: not visible enough)."""
        drawing.developed = drawing.pictures([None, *range(len(drawing.changes))])
        change = (drawing.developed[:1] - drawing.developed[1:]).abs_()
        healthy = drawing.detector.toned
        texture = (healthy - blurred(healthy, 4 * self.image_size / 128)).square_()
        floors = change.amax(dim=(1, 2), keepdim=True).mul_(0.25).clamp_(min=0.5 / 255)
        mask = above(change, floors)
        count = mask.sum(dim=(1, 2))
        pixels = count.clamp(min=1)
        mean = (change * mask).sum(dim=(1, 2)) / pixels
        noise = (mask.mul_(texture).sum(dim=(1, 2)) / pixels).sqrt_() + 0.004
        area = count / (self.visible_area * (self.image_size / 128) ** 2)
        ratios = torch.stack([mean / noise / self.visible_contrast, mean / self.visible_change, area])
        return ratios.amin(dim=0).tolist()


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
