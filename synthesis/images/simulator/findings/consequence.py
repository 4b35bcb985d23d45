"""What findings bring about beyond what their painters draw, switched on one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from synthesis.cases import Case, Finding
from synthesis.concepts import ConceptCatalog
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.findings.change import Change, Painter


class Consequence(Protocol):
    """Changes how some findings are drawn: adds to a painter's change, moves organs, or draws it anew.

    To add one: a class in a file of its own, named in `synthesis.findings` and switched on by a layer
    (`Simulator.consequences`). It draws from a random stream of its own, so that a patient, and what the
    painter drew, stay as they are without it.

    Attributes:
        version: Of what it draws, see `synthesis.identity`.
        concepts: Names of the findings that it changes.
        beside: Names of other findings of the case on which that depends.
    """

    version: int
    concepts: Collection[str]
    beside: Collection[str]

    def redraw(
        self,
        drawn: Change,
        finding: Finding,
        beside: Sequence[Finding],
        anatomy: Anatomy,
        level: float,
        rng: np.random.Generator,
    ) -> Change:
        """Return what a finding changes, given what was drawn of it so far.

        Args:
            drawn: By its painter, and by the consequences before this one.
            finding: The finding.
            beside: The other findings of the picture, where they are among those named by ``beside``.
            anatomy: The healthy patient.
            level: 0 mildest to 1 most severe.
            rng: The stream of this consequence of this finding.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return the settings, JSON-able, for fingerprints."""
        ...


class Painted(NamedTuple):
    """What the findings of a case change.

    Attributes:
        changes: One a finding.
        without: (finding, other) → what the finding changes where the other one is switched off: fluid has no
            level once the air above it is gone.
    """

    changes: list[Change]
    without: dict[tuple[int, int], Change]


Streams = Callable[[str], np.random.Generator]
"""Name → a fresh stream of random numbers of this picture."""


def acting_once(consequences: Sequence[Consequence]) -> tuple[Consequence, ...]:
    """Return consequences that all differ in kind.

    Raises:
        ValueError: One is there twice, and would act twice.
    """
    names = [type(consequence).__name__ for consequence in consequences]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"consequences={names}: {name} is there twice, and would act twice: name its layer once, or "
                "list it once"
            )
    return tuple(consequences)


def paint(
    case: Case,
    anatomy: Anatomy,
    catalog: ConceptCatalog,
    painters: Mapping[str, Painter],
    consequences: Sequence[Consequence],
    stream: Streams,
) -> Painted:
    """Draw the findings of a case with their consequences.

    Args:
        case: What to draw.
        anatomy: The healthy patient.
        catalog: Grades severities.
        painters: Concept → its painter.
        consequences: In the order in which they act.
        stream: Name → a fresh stream of random numbers of this picture.
    """
    painted = Painted([], {})
    for k, finding in enumerate(case.findings):
        level = catalog[finding.concept].level(finding.severity)
        drawn = painters[finding.concept](anatomy, finding, level, stream(finding.concept))
        acting = [c for c in consequences if finding.concept in c.concepts]
        if not acting:
            painted.changes.append(drawn)
            continue
        others = case.findings[:k] + case.findings[k + 1 :]
        painted.changes.append(_redrawn(drawn, finding, others, acting, anatomy, level, stream))
        for j, other in enumerate(case.findings):
            if j != k and any(other.concept in c.beside for c in acting):
                rest = [f for f in others if f is not other]
                painted.without[k, j] = _redrawn(drawn, finding, rest, acting, anatomy, level, stream)
    return painted


def _redrawn(
    drawn: Change,
    finding: Finding,
    others: Sequence[Finding],
    acting: Sequence[Consequence],
    anatomy: Anatomy,
    level: float,
    stream: Streams,
) -> Change:
    for consequence in acting:
        beside = [f for f in others if f.concept in consequence.beside]
        rng = stream(f"{type(consequence).__name__} {finding.concept}")
        drawn = consequence.redraw(drawn, finding, beside, anatomy, level, rng)
    return drawn
