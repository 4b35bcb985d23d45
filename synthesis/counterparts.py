"""Cases that differ from another in one finding: what counterfactual twins show."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from synthesis.cases import Case, Finding
from synthesis.concepts import Concept, ConceptCatalog

TwinKind = Literal["without", "swap", "side"]
"""What a twin shows: one finding less, another finding in its place, or the finding on the other side."""

_OTHER_SIDE = {"left": "right", "right": "left"}


def counterpart(
    case: Case, kind: TwinKind, rng: np.random.Generator, catalog: ConceptCatalog
) -> tuple[int, Case] | None:
    """Return a case that differs in one finding, and which finding of the case that is.

    - ``without``: the finding is dropped.
    - ``swap``: another concept takes its place: a device that of a device, a finding that of a finding, on
      the same side and of a like severity where it has such. How much is abnormal stays the same.
    - ``side``: the finding is on the other side; how much is abnormal, and what, stays the same.

    Args:
        case: The case.
        kind: What the twin shows.
        rng: Chooses among all that is plausible.
        catalog: What is plausible.

    Returns:
        Number of the finding, and the other case; None if there is none.
    """
    if kind == "without":
        chosen = int(rng.integers(len(case.findings))) if case.findings else -1
        return (chosen, case.without(chosen)) if chosen >= 0 else None
    for i in rng.permutation(len(case.findings)).tolist():
        finding = case.findings[i]
        others = [_mirrored(finding, rng, catalog)] if kind == "side" else _swapped(finding, rng, catalog)
        for other in others:
            changed = None if other is None else _with(case, i, other, catalog)
            if changed is not None:
                return i, changed
    return None


def _with(case: Case, i: int, finding: Finding, catalog: ConceptCatalog) -> Case | None:
    """Put a finding in the place of the i-th; None if that is not plausible."""
    findings = (*case.findings[:i], finding, *case.findings[i + 1 :])
    if len({found.concept for found in findings}) < len(findings):
        return None
    deniable = set(catalog.deniable(found.concept for found in findings))
    changed = replace(case, findings=findings, absent=tuple(name for name in case.absent if name in deniable))
    return None if changed.contradictions(catalog) else changed


def _mirrored(finding: Finding, rng: np.random.Generator, catalog: ConceptCatalog) -> Finding | None:
    side = _OTHER_SIDE.get(finding.laterality or "")
    concept = catalog[finding.concept]
    if side not in concept.lateralities:
        return None
    places = concept.places(side)
    location = finding.location if finding.location in places else _one(places, rng)
    return replace(finding, laterality=side, location=location)


def _swapped(finding: Finding, rng: np.random.Generator, catalog: ConceptCatalog) -> list[Finding]:
    own = catalog[finding.concept]
    level = own.level(finding.severity)
    concepts = [
        c
        for c in catalog
        if c.is_device == own.is_device
        # A special form of the finding would leave it where it is.
        and not (catalog.implies(c.name, own.name) or catalog.implies(own.name, c.name))
    ]
    return [_like(finding, concepts[k], level, rng) for k in rng.permutation(len(concepts)).tolist()]


def _like(finding: Finding, concept: Concept, level: float, rng: np.random.Generator) -> Finding:
    """Describe a concept as far as possible as a finding is described."""
    sides = concept.lateralities
    side = finding.laterality if finding.laterality in sides else _one(sides, rng)
    grades = concept.severities
    return replace(
        finding,
        concept=concept.name,
        laterality=side,
        location=_one(concept.places(side), rng),
        severity=grades[round(level * (len(grades) - 1))] if grades else None,
    )


def _one(options: tuple[str, ...], rng: np.random.Generator) -> str | None:
    return options[int(rng.integers(len(options)))] if options else None
