"""Simulated patients as the page shows them: a chosen case, its pair, and its twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthesis.cases import BalancedCaseSampler, Case, Finding, View
from synthesis.concepts import Concept
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import generator, pair_seed

SPLIT = "demo"
_DENIED = 2  # concepts that a report denies beside what it states


@dataclass(frozen=True)
class Twin:
    """The same patient without one finding.

    Attributes:
        finding: What is left out.
        image: uint8 ``(height, width)``.
        report: Its report.
    """

    finding: Finding
    image: np.ndarray
    report: str


@dataclass(frozen=True)
class Patient:
    """A simulated patient.

    Attributes:
        seed: Number of the patient.
        case: What the radiograph shows.
        asked: What was asked for: findings that would be too faint to see are missing in ``case``.
        image: uint8 ``(height, width)``.
        masks: bool ``(finding, height, width)``, in the order of the findings of ``case``.
        report: The report.
        twins: One for each finding of ``case``.
    """

    seed: int
    case: Case
    asked: Case
    image: np.ndarray
    masks: np.ndarray
    report: str
    twins: tuple[Twin, ...]

    @property
    def too_faint(self) -> tuple[Finding, ...]:
        """What was asked for and could not be made visible."""
        return tuple(finding for finding in self.asked.findings if finding not in self.case.findings)


class Patients:
    """Makes patients from what is chosen on the page, and draws such choices.

    Args:
        image_size: Height and width of the radiographs, in pixels.
    """

    def __init__(self, image_size: int = 256) -> None:
        self.simulator = Simulator(image_size=image_size)
        self.catalog = self.simulator.catalog
        self.writer = GrammarWriter()
        self._sampler = BalancedCaseSampler(device_rate=0.2, uncertain_rate=0.0)

    @property
    def choices(self) -> list[Concept]:
        """The concepts that can be a finding."""
        return [c for c in self.catalog if c.sampled and c.name != "no_finding"]

    def drawn(self, number: int, most: int) -> Case:
        """Return a plausible case for the page to start from, of at most so many findings."""
        case = self._sampler.sample(number, SPLIT, number)
        return replace(case, findings=case.findings[:most], absent=())

    def case(self, chosen: Sequence[tuple[str, str | None, str | None]], view: View, seed: int) -> Case:
        """Return the case of some choices; what was left open is drawn from the seed.

        Args:
            chosen: Concept, side and grade of each finding; None leaves side or grade open.
            view: Projection.
            seed: Number of the patient, ≥ 0.

        Raises:
            ValueError: If the findings cannot be together, or not on this view; it says why.
        """
        rng = generator(pair_seed(seed, SPLIT, 0), "choices")
        findings = tuple(self._finding(*choice, rng) for choice in chosen)
        names = [finding.concept for finding in findings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0].replace('_', ' ')} is chosen twice")
        case = Case(findings, self._denied(names, rng), view)
        if problems := case.contradictions(self.catalog):
            raise ValueError("; ".join(problems).replace("_", " "))
        return case

    def patient(self, case: Case, seed: int) -> Patient:
        """Draw and write a case, and its twins.

        Args:
            case: What is asked for.
            seed: Number of the patient, ≥ 0.
        """
        own = pair_seed(seed, SPLIT, 0)
        made = self.simulator.make([case], None, [own])
        shown, count = made.cases[0], len(made.cases[0].findings)
        assert made.masks is not None
        cases = [shown, *(shown.without(i) for i in range(count))]
        texts = [report.text for report in self.writer.write(cases, [own] * len(cases))]
        # The twins are of the case asked for, as the finding to leave out is counted among those shown.
        twins: list[Twin] = []
        if count:
            images = self.simulator.twins([case] * count, [own] * count, range(count))[1]
            for finding, image, text in zip(shown.findings, images, texts[1:], strict=True):
                twins.append(Twin(finding, _levels(image[0].numpy()), text))
        return Patient(
            seed,
            shown,
            case,
            _levels(made.images[0, 0].numpy()),
            made.masks[0].numpy(),
            texts[0],
            tuple(twins),
        )

    def _finding(self, name: str, side: str | None, grade: str | None, rng: np.random.Generator) -> Finding:
        concept = self.catalog[name]
        side = side or _one(concept.lateralities, rng)
        return Finding(name, side, _one(concept.places(side), rng), grade or _one(concept.severities, rng))

    def _denied(self, present: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
        names = self.catalog.deniable(present)
        weights = np.array([self.catalog[name].absent_weight for name in names])
        return tuple(
            str(name) for name in rng.choice(names, _DENIED, replace=False, p=weights / weights.sum())
        )


def told(finding: Finding) -> str:
    """Return a finding in words, e.g. "large pleural effusion, left"."""
    words = " ".join(word for word in (finding.severity, finding.concept.replace("_", " ")) if word)
    where = ", ".join(word for word in (finding.laterality, finding.location) if word)
    return f"{words}, {where}" if where else words


def _one(options: Sequence[str], rng: np.random.Generator) -> str | None:
    return options[int(rng.integers(len(options)))] if options else None


def _levels(image: np.ndarray) -> np.ndarray:
    return np.round(image * 255).astype(np.uint8)
