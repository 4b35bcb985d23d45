"""Whether generated findings lie on the side that the report says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from callbacks.statistics.logistic import Transform, fit_logistic, standardiser
from synthesis.cases import Case
from synthesis.pairs import Pair

SIDED = ("pleural_effusion", "consolidation", "pneumothorax")
"""Concepts whose side is judged: frequent, and on one side as often as on the other."""


@dataclass(frozen=True)
class SideAccuracy:
    """How often the side of a concept was the one asked for.

    Attributes:
        concept: The concept.
        accuracy: Share of right sides; 0.5 by guessing, NaN with fewer cases than were asked for.
        low: Lower end of the 95 % interval (Wilson).
        high: Its upper end.
        cases: Images with the concept on one side.
    """

    concept: str
    accuracy: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True)
class SideProbe:
    """A linear probe of left against right for each concept, among images that show it on one side.

    It is fitted on simulated images, as the probe of the concepts is, so that its accuracy on other simulated
    images of the same cases says what a perfect generator would get. Nothing else about an image is judged: a
    generator that leaves a finding out guesses its side.

    Attributes:
        standardise: Applied to features first.
        weight: ``(dim, concept)``.
        threshold: ``(concept,)``: halfway between the mean scores of both sides, whatever their frequencies;
            NaN without images of both.
    """

    standardise: Transform
    weight: Tensor
    threshold: Tensor

    def judge(self, features: Tensor, cases: Sequence[Case], least: int = 10) -> tuple[SideAccuracy, ...]:
        """Return the accuracy of each of `SIDED`.

        Args:
            features: Features of the images, ``(n, dim)``.
            cases: What was asked for.
            least: Fewest cases for a concept to be judged.
        """
        left = self.standardise(features.double()) @ self.weight > self.threshold
        known = ~self.threshold.isnan()
        asked = sides_of(cases)
        found = []
        for column, concept in enumerate(SIDED):
            rows = ~asked[:, column].isnan()
            right = left[rows, column] == (asked[rows, column] == 1)
            needed = least if known[column] else len(right) + 1
            found.append(_accuracy(concept, int(right.sum()), len(right), needed))
        return tuple(found)


def fit_sides(features: Tensor, cases: Sequence[Case], penalty: float = 30.0) -> SideProbe:
    """Fit the probe on features ``(n, dim)`` of simulated images of cases."""
    standardise = standardiser(features.double())
    x, sides = standardise(features.double()), sides_of(cases)
    weight = fit_logistic(x, sides, penalty).weight
    scores = x @ weight
    means = [scores.where(sides == side, torch.nan).nanmean(0) for side in (0, 1)]
    return SideProbe(standardise, weight, (means[0] + means[1]) / 2)


def sides_of(cases: Sequence[Case]) -> Tensor:
    """Return the side of each of `SIDED`, ``(n, concept)``: 1 left, 0 right, NaN absent or on both sides."""
    codes = {"left": 1.0, "right": 0.0}
    rows = [{finding.concept: finding.laterality for finding in case.findings} for case in cases]
    table = [[codes.get(row.get(concept) or "", math.nan) for concept in SIDED] for row in rows]
    return torch.tensor(table, dtype=torch.float64).reshape(len(cases), len(SIDED))


def sided(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Return the first pairs that have one of `SIDED` on one side, until each has `most`."""
    known, counts, chosen = ~sides_of([pair.case for pair in pairs]).isnan(), torch.zeros(len(SIDED)), []
    for pair, of in zip(pairs, known, strict=True):
        if (of & (counts < most)).any():
            counts += of
            chosen.append(pair)
    return chosen


def _accuracy(concept: str, right: int, cases: int, least: int) -> SideAccuracy:
    from scipy.stats import binomtest

    if cases < max(1, least):
        return SideAccuracy(concept, math.nan, math.nan, math.nan, cases)
    interval = binomtest(right, cases).proportion_ci(method="wilson")
    return SideAccuracy(concept, right / cases, float(interval.low), float(interval.high), cases)
