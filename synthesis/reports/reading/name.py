"""What stands in a sentence: the names of concepts and structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthesis.concepts import NO_FINDING
from synthesis.reports.reading.words import Span


@dataclass(frozen=True)
class Name:
    """Words in a sentence, the concepts that they assert or doubt, and those that they deny.

    Attributes:
        start: Where the words start.
        end: Where they end.
        kind: "concept", "denied_only" (means something only when it is denied), "structure" (denies its
            concepts where it is called normal), "denial" (denies them where it is asserted) or "ignore".
        asserts: Concepts that are there if the name is asserted.
        denies: Concepts that are not there if it is denied.
        structure: Name of the structure.
        inside: Whether it is a structure in the name of a concept ("lungs are hyperinflated").
    """

    start: int
    end: int
    kind: str
    asserts: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    structure: str = ""
    inside: bool = False

    @property
    def span(self) -> Span:
        """Start and end."""
        return self.start, self.end

    @property
    def is_normality(self) -> bool:
        """Whether it speaks of the absence of any finding."""
        return NO_FINDING in (*self.asserts, *self.denies)

    def overlaps(self, other: Name) -> bool:
        """Return whether the two share letters."""
        return self.start < other.end and other.start < self.end

    def borders(self, other: Name) -> bool:
        """Return whether the name of a concept begins or ends with this one."""
        return other.kind == "concept" and (self.start == other.start) != (self.end == other.end)

    def says_nothing_in(self, phrases: Sequence[Span]) -> bool:
        """Return whether it is the normality that a phrase grants to one structure ("no rib abnormality")."""
        return self.is_normality and any(s <= self.start and self.end <= e for s, e in phrases)
