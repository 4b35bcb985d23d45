"""Earlier radiographs of the patients of pairs, whose findings were less, as much or more severe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synthesis.cases import Case, Finding
from synthesis.companions import CompanionSynthesizer
from synthesis.images.image_maker import RevisitingImageMaker
from synthesis.pairs import Pair, PairSynthesizer, grey_levels
from synthesis.seeding import generator, pair_seed


class PriorSynthesizer(CompanionSynthesizer):
    """Makes the prior of each pair.

    It shows the same patient at an earlier visit: the same anatomy, another exposure and noise. Each
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
    belongs_to = "priors_of"

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, RevisitingImageMaker):
            raise TypeError(
                "priors need an image maker that can draw a patient at another visit, with a method "
                f"`revisit`; {type(maker).__name__} cannot. Take the simulator"
            )
        super().__init__(synthesizer)
        self.maker: RevisitingImageMaker = maker

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the priors of some pairs; their cases say what they show: see `CompanionSynthesizer`."""
        pairs = self.synthesizer.make(indices, seed, split)
        seeds = self.drawing_seeds(pairs, seed, split)
        visits = [pair_seed(seed, f"{split}/prior", pair.index) for pair in pairs]
        cases = [self._earlier(pair.case, visit) for pair, visit in zip(pairs, visits, strict=True)]
        made = self.maker.revisit(cases, seeds, visits)
        images = grey_levels(made.images, indices)
        reports = self.synthesizer.writer.write(made.cases, visits)
        return [
            replace(pair, case=case, report=replace(report, notes=()), image=image, masks=None)
            for pair, case, report, image in zip(pairs, made.cases, reports, images, strict=True)
        ]

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
