"""Report filter: neither empty nor endless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthesis.pairs import Pair
from synthesis.reports.report import Report


class ReportLength:
    """Refuses a report with too few or too many words.

    Args:
        least: Fewest words of both sections together.
        most: Most words of both sections together.
        sections: Whether neither section may be empty.
        ends: Whether each section that is there has to end with a mark (. ! ? or a closing bracket or quote):
            a text that was cut off does not.

    Raises:
        ValueError: If no length is allowed.
    """

    def __init__(self, least: int = 5, most: int = 400, sections: bool = False, ends: bool = True) -> None:
        if not 0 <= least <= most:
            raise ValueError(f"least={least}, most={most}: no report has such a length; give least ≤ most.")
        self.least = least
        self.most = most
        self.sections = sections
        self.ends = ends

    def reject(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Return for each pair what is wrong with the length of its report, or None."""
        return [self._reason(pair.report) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"least": self.least, "most": self.most, "sections": self.sections, "ends": self.ends}

    def _reason(self, report: Report) -> str | None:
        sections = {"FINDINGS": report.findings.strip(), "IMPRESSION": report.impression.strip()}
        words = sum(len(text.split()) for text in sections.values())
        if not words:
            return "empty report"
        if words < self.least:
            return f"short report: {words} words, fewer than {self.least}"
        if words > self.most:
            return f"long report: {words} words, more than {self.most}"
        for name, text in sections.items():
            if self.sections and not text:
                return f"empty section: no {name}"
            if self.ends and text and text[-1] not in ".!?)\"'”’":
                return f"report cut off: {name} ends with {text[-20:]!r}"
        return None
