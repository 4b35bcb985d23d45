"""What came of asking a language model for a section of a report."""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED = "accepted"


@dataclass(frozen=True, order=True)
class Outcome:
    """What came of one attempt at one section of a report.

    Attributes:
        section: "findings" or "impression".
        attempt: Number of the attempt, from 1.
        reason: `ACCEPTED`, or why the text was rejected, see `LanguageModelWriter`.
    """

    section: str
    attempt: int
    reason: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.section}, attempt {self.attempt}: {self.reason}"
