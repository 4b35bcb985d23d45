"""The seam at which anything that reads entities out of reports plugs in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from synthesis.reports.reading.entities import Mention


@runtime_checkable
class EntityReader(Protocol):
    """Reads which concepts a text names, and whether it asserts, denies or doubts them."""

    def extract(self, text: str) -> Sequence[Mention]:
        """Return the mentions of a text (a sentence, a section, a report) in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that is read depends on, as a JSON-able dict: it enters the fingerprint of a corpus."""
        ...
