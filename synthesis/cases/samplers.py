"""Drawing cases: every one plausible, and a pure function of (settings, seed, split, index)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synthesis.cases.case import SIDES, Case, Finding, View
from synthesis.cases.rules import ConceptRules, WeightedChoice
from synthesis.concepts import NO_FINDING, Concept, ConceptCatalog
from synthesis.seeding import generator, pair_seed

_MAX_ABSENT = 12


class CaseSampler(ABC):
    """Draws plausible cases; a subclass says which concept leads a case, and how readily others join it.

    A case has a leading concept (or none: a normal study), as many findings as ``findings_per_case`` draws,
    and sometimes a device as well. A concept joins if no rule of the catalogue excludes it and if it
    neither implies nor is implied by a finding: beside the special name, the general one would say nothing
    new. A case in which nothing more fits stays below its number.

    Args:
        catalog: Catalogue file; None takes the one shipped.
        normal_rate: Share of normal studies, in [0, 1).
        findings_per_case: Probabilities of 1, 2, 3 … findings in a case that is not normal; their sum is 1.
        device_rate: Probability of one more device, in normal studies too.
        absent_mentions: Mean number of concepts denied (Poisson, cut at 12), in [0, 12].
        uncertain_rate: Probability that a finding is only "possible"; devices are always definite.
        ap_rate: Share of AP views among the cases that may have either view.
        severity_weights: Relative weights from mildest to most severe, interpolated to a concept's grades.

    Attributes:
        version: Of how cases are drawn, see `synthesis.identity`; a subclass has its own beside it.

    Raises:
        ValueError: If an argument is out of its range.
    """

    version: int = 1

    def __init__(
        self,
        catalog: str | Path | None = None,
        normal_rate: float = 0.12,
        findings_per_case: Sequence[float] = (0.35, 0.35, 0.2, 0.1),
        device_rate: float = 0.1,
        absent_mentions: float = 2.5,
        uncertain_rate: float = 0.1,
        ap_rate: float = 0.4,
        severity_weights: Sequence[float] = (0.8, 1.1, 1.1),
    ) -> None:
        _check_range("normal_rate", normal_rate, 0, math.nextafter(1, 0))
        _check_range("device_rate", device_rate, 0, 1)
        _check_range("uncertain_rate", uncertain_rate, 0, 1)
        _check_range("ap_rate", ap_rate, 0, 1)
        _check_range("absent_mentions", absent_mentions, 0, _MAX_ABSENT)
        _check_weights("findings_per_case", findings_per_case, sum_to_one=True)
        _check_weights("severity_weights", severity_weights)
        self.catalog = ConceptCatalog.load(catalog)
        self._settings: dict[str, Any] = {
            "normal_rate": normal_rate,
            "findings_per_case": list(findings_per_case),
            "device_rate": device_rate,
            "absent_mentions": absent_mentions,
            "uncertain_rate": uncertain_rate,
            "ap_rate": ap_rate,
            "severity_weights": list(severity_weights),
        }
        concepts = [concept for concept in self.catalog if concept.sampled and concept.name != NO_FINDING]
        self._names = tuple(concept.name for concept in concepts)
        self._devices = tuple(concept.name for concept in concepts if concept.is_device)
        self._weights = {concept.name: self.weight(concept) for concept in concepts}
        self._rules = {c.name: ConceptRules(c, concepts, self.catalog, severity_weights) for c in concepts}
        self._number = WeightedChoice(range(1, len(findings_per_case) + 1), findings_per_case)
        poisson = [absent_mentions**k / math.factorial(k) for k in range(_MAX_ABSENT + 1)]
        self._number_absent = WeightedChoice(range(_MAX_ABSENT + 1), poisson)

    @abstractmethod
    def lead(self, seed: int, split: str, index: int) -> str:
        """Return the concept that leads a case; "no_finding" for a normal study."""

    @abstractmethod
    def weight(self, concept: Concept) -> float:
        """Return how readily a concept joins a case that another one leads, relative to the others."""

    def sample(self, seed: int, split: str, index: int) -> Case:
        """Return the case of one pair: always the same for the same arguments.

        Args:
            seed: The run's seed, ≥ 0.
            split: Name of the split.
            index: Number of the pair in its split, ≥ 0.
        """
        rng = generator(pair_seed(seed, split, index), "case")
        findings: list[Finding] = []
        lead = self.lead(seed, split, index)
        if lead != NO_FINDING:
            self._add(findings, (lead,), rng)
            self._join(findings, self._number.draw(rng) - 1, rng)
        if rng.random() < self._settings["device_rate"]:
            self._add(findings, self._devices, rng)
        return Case(tuple(findings), self._absent(findings, rng), self._view(findings, rng))

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for fingerprints and data cards."""
        return {"catalog_sha256": self.catalog.sha256, **self._settings}

    def _join(self, findings: list[Finding], number: int, rng: np.random.Generator) -> None:
        """Add so many findings beside the one that leads the case."""
        for _ in range(number):
            self._add(findings, self._names, rng)

    def _add(self, findings: list[Finding], pool: Sequence[str], rng: np.random.Generator) -> None:
        """Add one concept of the pool that fits beside the findings, if any does."""
        names = self._fitting(findings, pool)
        while names:
            name = WeightedChoice(names, [self._weights[n] for n in names]).draw(rng)
            sides = self._free_sides(findings, name)
            if sides:
                findings.append(self._rules[name].draw(sides, self._settings["uncertain_rate"], rng))
                return
            names.remove(name)

    def _fitting(self, findings: Sequence[Finding], pool: Sequence[str]) -> list[str]:
        """Return which concepts of a pool may be in a case with these findings, sides left aside."""
        banned = {name for finding in findings for name in self._rules[finding.concept].excludes}
        return [name for name in pool if name not in banned]

    def _free_sides(self, findings: Sequence[Finding], name: str) -> list[str | None]:
        """Return the sides of a concept that no finding of the case excludes."""
        rules = self._rules[name]
        clashing = (f.laterality for f in findings if f.concept in rules.excludes_same_side)
        taken = frozenset[str]().union(*(SIDES[side] for side in clashing))
        return [side for side in rules.sides if not taken & SIDES[side]]

    def _absent(self, findings: list[Finding], rng: np.random.Generator) -> tuple[str, ...]:
        """Draw what the report denies."""
        names = self.catalog.deniable(finding.concept for finding in findings)
        weights = [self.catalog[name].absent_weight for name in names]
        absent: list[str] = []
        for _ in range(self._number_absent.draw(rng)):
            if not any(weights):
                break
            i = WeightedChoice(range(len(names)), weights).draw(rng)
            absent.append(names.pop(i))
            weights.pop(i)
        return tuple(absent)

    def _view(self, findings: list[Finding], rng: np.random.Generator) -> View:
        ap = rng.random() < self._settings["ap_rate"]
        only = {view for finding in findings for view in self._rules[finding.concept].only_view}
        return "AP" if ("AP" in only if only else ap) else "PA"


class BalancedCaseSampler(CaseSampler):
    """Lets every concept lead equally often: at most ``cap`` times in each block of consecutive cases.

    This is the cap on entity counts of SynCXR (Liu et al., arXiv:2410.13523) as a pure function of the index.
    A block is a seeded shuffle of every sampled concept, ``cap`` times each, and of as many normal studies as
    ``normal_rate`` asks for. Concepts that join a case are drawn with equal weights.

    Args:
        cap: How often a concept may lead in one block, ≥ 1.
        **settings: As for `CaseSampler`.
    """

    version: int = 1

    def __init__(self, cap: int = 15, **settings: Any) -> None:
        super().__init__(**settings)
        if cap < 1:
            raise ValueError(f"cap={cap}: no concept could lead a case; give at least 1.")
        self.cap = cap
        rate, abnormal = self._settings["normal_rate"], cap * len(self._names)
        normal = round(abnormal * rate / (1 - rate))
        self._block = (NO_FINDING,) * normal + self._names * cap

    @property
    def block_size(self) -> int:
        """Number of consecutive cases in which the cap holds; blocks start at its multiples."""
        return len(self._block)

    def lead(self, seed: int, split: str, index: int) -> str:
        """Return the concept at this place of the shuffled block."""
        block, place = divmod(index, self.block_size)
        return self._block[_shuffle(self.block_size, seed, split, block)[place]]

    def weight(self, concept: Concept) -> float:
        """Return 1: all concepts are equal."""
        return 1.0

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**super().describe(), "cap": self.cap}


class UniformCaseSampler(CaseSampler):
    """Lets every concept lead with the same probability, each case on its own."""

    version: int = 1

    def lead(self, seed: int, split: str, index: int) -> str:
        """Return a concept drawn with equal probabilities."""
        rng = generator(pair_seed(seed, split, index), "lead")
        if rng.random() < self._settings["normal_rate"]:
            return NO_FINDING
        return self._names[int(rng.random() * len(self._names))]

    def weight(self, concept: Concept) -> float:
        """Return 1: all concepts are equal."""
        return 1.0


class LongTailedCaseSampler(CaseSampler):
    """Draws concepts as often as they occur: leading and joining in proportion to their prevalence.

    Args:
        normal_rate: Share of normal studies; None takes the prevalence of no_finding in the catalogue.
        **settings: As for `CaseSampler`.
    """

    version: int = 1

    def __init__(self, normal_rate: float | None = None, **settings: Any) -> None:
        if normal_rate is None:
            normal_rate = ConceptCatalog.load(settings.get("catalog"))[NO_FINDING].prevalence
        super().__init__(normal_rate=normal_rate, **settings)
        self._lead = WeightedChoice(self._names, [self._weights[name] for name in self._names])

    def lead(self, seed: int, split: str, index: int) -> str:
        """Return a concept drawn by prevalence."""
        rng = generator(pair_seed(seed, split, index), "lead")
        return NO_FINDING if rng.random() < self._settings["normal_rate"] else self._lead.draw(rng)

    def weight(self, concept: Concept) -> float:
        """Return the prevalence of the concept."""
        return concept.prevalence


@lru_cache(maxsize=256)
def _shuffle(size: int, seed: int, split: str, block: int) -> tuple[int, ...]:
    return tuple(generator(pair_seed(seed, split, block), "block").permutation(size).tolist())


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        to = f"to {high:g}" if math.nextafter(high, math.inf) != 1 else "to less than 1"
        raise ValueError(f"{name}={value!r}: must be from {low:g} {to}; correct it.")


def _check_weights(name: str, weights: Sequence[float], sum_to_one: bool = False) -> None:
    if not weights or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"{name}={list(weights)}: must be numbers ≥ 0, not all 0; correct them.")
    if sum_to_one and not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"{name}={list(weights)}: the sum is {sum(weights):g}, must be 1; scale them.")
