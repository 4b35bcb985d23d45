"""Cutting a report of MIMIC-CXR into sections."""

from __future__ import annotations

from synthesis.reports.sections import cut


def findings_and_impression(text: str) -> tuple[str, str]:
    """Return the FINDINGS and the IMPRESSION of a report, empty where there is none.

    Where a report has neither, its findings are the last paragraph that stands under no heading of another
    purpose (indication, comparison …), as in the data set's own section files. See
    `synthesis.reports.sections.cut`.

    Args:
        text: The whole report.
    """
    return cut(text, last_paragraph=True)
