"""The rules of the catalogue in the form that a sampler needs: computed once, fast to apply."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np

from synthesis.cases.case import Finding
from synthesis.concepts import VIEWS, Concept, ConceptCatalog

_T = TypeVar("_T")


class WeightedChoice(Generic[_T]):
    """Weighted choice by bisection: numpy's own takes longer than a whole case may.

    Args:
        items: What to choose from.
        weights: One weight an item, ≥ 0, not all 0.
    """

    def __init__(self, items: Sequence[_T], weights: Iterable[float]) -> None:
        self._items = items
        self._sums = list(accumulate(weights))

    def draw(self, rng: np.random.Generator) -> _T:
        """Return one of the items."""
        # The bound: rounding can make the product equal to the total.
        return self._items[bisect(self._sums, rng.random() * self._sums[-1], 0, len(self._sums) - 1)]


class ConceptRules:
    """What one concept allows beside itself, and how its findings are drawn.

    Args:
        concept: The concept.
        others: The concepts that may be drawn beside it.
        catalog: The catalogue of both.
        severity_weights: Relative weights from mildest to most severe, interpolated to the concept's grades.

    Attributes:
        excludes: Names among ``others`` that cannot join it: itself, its parents and heirs, those that a rule
            excludes, those that only occur on the other view.
        excludes_same_side: Names among ``others`` that cannot be on its side.
        sides: Its lateralities, or only None.
        only_view: The view it needs; empty if both will do.
    """

    def __init__(
        self,
        concept: Concept,
        others: Sequence[Concept],
        catalog: ConceptCatalog,
        severity_weights: Sequence[float],
    ) -> None:
        name = self._name = concept.name
        self.excludes = frozenset(
            other.name
            for other in others
            if catalog.excluded(name, other.name)
            or catalog.implies(name, other.name)
            or catalog.implies(other.name, name)
            or not set(concept.views) & set(other.views)
        )
        self.excludes_same_side = frozenset(
            other.name for other in others if catalog.excluded_same_side(name, other.name)
        )
        self.only_view = concept.views if len(concept.views) < len(VIEWS) else ()
        self.sides: tuple[str | None, ...] = concept.lateralities or (None,)
        self._places = {side: concept.places(side) or (None,) for side in self.sides}
        grades: tuple[str | None, ...] = concept.severities or (None,)
        points = np.linspace(0, 1, len(severity_weights))
        weights = [float(np.interp(concept.level(grade), points, severity_weights)) for grade in grades]
        # A weight of 0 for the grades that a concept has must not leave it without any.
        self._severity = WeightedChoice(grades, weights if any(weights) else [1.0] * len(grades))
        self._is_device = concept.is_device

    def draw(self, sides: Sequence[str | None], uncertain_rate: float, rng: np.random.Generator) -> Finding:
        """Draw a finding on one of the sides."""
        side = sides[int(rng.random() * len(sides))]
        places = self._places[side]
        place = places[int(rng.random() * len(places))]
        severity = self._severity.draw(rng)
        possible = rng.random() < uncertain_rate and not self._is_device
        return Finding(self._name, side, place, severity, "possible" if possible else "definite")
