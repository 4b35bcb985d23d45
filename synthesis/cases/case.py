"""A case: what one radiograph shows, before there is an image or a report of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthesis.concepts import NO_FINDING, ConceptCatalog

View = Literal["PA", "AP"]

_LEFT, _RIGHT = frozenset({"left"}), frozenset({"right"})
SIDES = {None: frozenset[str](), "left": _LEFT, "right": _RIGHT, "bilateral": _LEFT | _RIGHT}
"""Laterality → the sides of the body that it takes."""


@dataclass(frozen=True)
class Finding:
    """One thing that a radiograph shows.

    Attributes:
        concept: Name of a sampled concept.
        laterality: "left", "right", "bilateral", or None for a concept without sides.
        location: A place that exists on that side, or None for a concept without places.
        severity: One of the concept's grades, or None for a concept without grades.
        certainty: Whether the report asserts it or calls it possible; the image shows it in both cases.
    """

    concept: str
    laterality: str | None = None
    location: str | None = None
    severity: str | None = None
    certainty: Literal["definite", "possible"] = "definite"


@dataclass(frozen=True)
class Case:
    """What one radiograph shows, and what its report denies.

    Attributes:
        findings: The findings, the one that leads the case first; at most one of a concept.
        absent: Concepts that the report is to mention as absent.
        view: Projection.
    """

    findings: tuple[Finding, ...]
    absent: tuple[str, ...] = ()
    view: View = "PA"

    def concepts(self, catalog: ConceptCatalog) -> frozenset[str]:
        """Return the concepts present: of findings, implied ones, and no_finding with devices alone."""
        present = catalog.closure(finding.concept for finding in self.findings)
        return present | {NO_FINDING} if present <= catalog.devices else present

    def labels(self, catalog: ConceptCatalog) -> npt.NDArray[np.float32]:
        """Return the labels ``(concept,)``: 1 for each concept present, 0 for the others."""
        return catalog.labels(self.concepts(catalog))

    def without(self, i: int) -> Case:
        """Return the counterfactual twin: the same case with the i-th finding dropped."""
        return replace(self, findings=self.findings[:i] + self.findings[i + 1 :])

    def contradictions(self, catalog: ConceptCatalog) -> list[str]:
        """Return what is impossible about this case, a sentence each; an empty list for a plausible case."""
        deniable = catalog.deniable(finding.concept for finding in self.findings)
        return [
            *(text for finding in self.findings for text in _impossible(finding, self.view, catalog)),
            *(text for a, b in combinations(self.findings, 2) for text in _clashes(a, b, catalog)),
            *(f"{name} cannot be denied here" for name in self.absent if name not in deniable),
            *(f"{name} is denied twice" for name in set(self.absent) if self.absent.count(name) > 1),
        ]


def _impossible(finding: Finding, view: View, catalog: ConceptCatalog) -> Iterator[str]:
    """Yield what is wrong with one finding by itself."""
    concept = catalog[finding.concept]
    if not concept.sampled or concept.name == NO_FINDING:
        yield f"{concept.name} cannot be a finding"
    if finding.laterality not in (concept.lateralities or (None,)):
        yield f"{concept.name} has no laterality {finding.laterality!r}"
    elif finding.location not in (concept.places(finding.laterality) or (None,)):
        yield f"{concept.name} has no location {finding.location!r} with laterality {finding.laterality!r}"
    if finding.severity not in (concept.severities or (None,)):
        yield f"{concept.name} has no severity {finding.severity!r}"
    if view not in concept.views:
        yield f"{concept.name} does not occur on {view} views"
    if concept.is_device and finding.certainty != "definite":
        yield f"{concept.name} is a device and cannot be {finding.certainty}"


def _clashes(a: Finding, b: Finding, catalog: ConceptCatalog) -> Iterator[str]:
    """Yield why two findings cannot be in the same case."""
    if catalog.excluded(a.concept, b.concept):
        yield f"{a.concept} and {b.concept} exclude each other"
    if catalog.implies(a.concept, b.concept) or catalog.implies(b.concept, a.concept):
        yield f"{a.concept} and {b.concept} are the same, or one is a special form of the other"
    if catalog.excluded_same_side(a.concept, b.concept) and SIDES[a.laterality] & SIDES[b.laterality]:
        yield f"{a.concept} and {b.concept} exclude each other on the same side"
