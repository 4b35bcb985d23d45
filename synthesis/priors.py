"""Earlier radiographs of the patients of pairs, whose findings were less, as much or more severe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from synthesis.cases import Case, Finding
from synthesis.concepts import ConceptCatalog
from synthesis.identity import identity
from synthesis.images.image_maker import RevisitingImageMaker
from synthesis.pairs import Pair, PairSynthesizer, drawing_stream
from synthesis.seeding import generator, pair_seed


class PriorSynthesizer:
    """Makes the prior of pair ``i`` as a pure function of (configuration, seed, split, i), like the pair.

    The prior shows the same patient at an earlier visit: the same anatomy, another exposure and noise. Each
    graded finding of the pair was then less severe (or not there), as severe, or more severe, equally often
    where its grade allows that; the others are as they are. Its report is written from its case.

    Args:
        synthesizer: Makes the pairs.

    Attributes:
        version: Of the choice of the grades, see `synthesis.identity`.

    Raises:
        TypeError: If its image maker cannot draw a patient twice.
    """

    version: int = 1

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, RevisitingImageMaker):
            raise TypeError(
                "priors need an image maker that can draw a patient at another visit, with a method "
                f"`revisit`; {type(maker).__name__} cannot. Take the simulator"
            )
        self.synthesizer = synthesizer
        self.maker: RevisitingImageMaker = maker

    @property
    def catalog(self) -> ConceptCatalog:
        """The concepts, in label order."""
        return self.synthesizer.catalog

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.synthesizer.image_size

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the priors of some pairs.

        Args:
            indices: Numbers of the pairs in their split.
            seed: The seed of the corpus.
            split: Name of the split.

        Returns:
            Priors in the order of ``indices``, without masks; their cases say what they show.
        """
        pairs = self.synthesizer.make(indices, seed, split)
        seeds = [pair_seed(seed, drawing_stream(split, pair.attempt), pair.index) for pair in pairs]
        visits = [pair_seed(seed, f"{split}/prior", pair.index) for pair in pairs]
        cases = [self._earlier(pair.case, visit) for pair, visit in zip(pairs, visits, strict=True)]
        made = self.maker.revisit(cases, seeds, visits)
        images = made.images.mul(255).round().to(torch.uint8).cpu()
        reports = self.synthesizer.writer.write(made.cases, visits)
        return [
            replace(pair, case=case, report=replace(report, notes=()), image=image, masks=None)
            for pair, case, report, image in zip(pairs, made.cases, reports, images, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """Return everything a prior depends on besides seed, split and index, as a JSON-able dict."""
        return {"priors_of": identity(self.synthesizer)}

    def _earlier(self, case: Case, visit: int) -> Case:
        rng = generator(visit, "grades")
        findings: list[Finding] = []
        for finding in case.findings:
            grades = list(self.catalog[finding.concept].severities)
            if finding.severity not in grades or len(grades) < 2:
                findings.append(finding)
                continue
            place = grades.index(finding.severity)
            less, more = [None, *grades[:place]], grades[place + 1 :]
            options = [option for option in (less, [finding.severity], more) if option]
            chosen = options[int(rng.integers(len(options)))]
            grade = chosen[int(rng.integers(len(chosen)))]
            if grade is not None:
                findings.append(replace(finding, severity=grade))
        return replace(case, findings=tuple(findings))
