"""Where a data set is to be had, for errors about what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a data set is to be had.

    Attributes:
        name: Its name.
        home: Address of the page that says how to get it.
        terms: What one has to agree to.
    """

    name: str
    home: str
    terms: str

    def __str__(self) -> str:
        """Return one sentence for people."""
        return f"It belongs to {self.name}: {self.home} (terms: {self.terms})."
