"""Cutting a report of MIMIC-CXR into sections."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A heading is in capitals, at the start of a line, and ends in a colon.
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ./(),&_'-]+):", re.MULTILINE)
_IMPRESSION = re.compile(r"IMPRESSION|CONCLUSION|OPINION")
_NO_CONTENT = re.compile(
    r"EXAM|INDICATION|HISTORY|TECHNIQUE|COMPARISON|REASON|CLINICAL|NOTIFICATION|RECOMMENDATION|WET READ|"
    r"PATIENT|REFERENCE|ADDENDUM|DIAGNOSIS|STUDY|PROCEDURE"
)


def findings_and_impression(text: str) -> tuple[str, str]:
    """Return the FINDINGS and the IMPRESSION of a report, each as one line, empty where there is none.

    A section ends at the next heading, whichever it is. Where a report has neither, its findings are the last
    paragraph that stands under no heading of another purpose (indication, comparison …), or under one that
    names the views ("PA AND LATERAL CHEST:"), as in the data set's own section files.

    Args:
        text: The whole report.
    """
    parts = _HEADING.split(text.replace("FINAL REPORT", ""))
    sections = list(zip(parts[1::2], parts[2::2], strict=True))
    findings = _joined(body for name, body in sections if "FINDINGS" in name)
    impression = _joined(
        body for name, body in sections if "FINDINGS" not in name and _IMPRESSION.search(name)
    )
    if findings or impression:
        return findings, impression
    last, body = sections[-1] if sections else ("", parts[0])
    paragraphs = [paragraph for paragraph in re.split(r"\n\s*\n", body.strip()) if paragraph.strip()]
    if _NO_CONTENT.search(last):
        paragraphs = paragraphs[1:]  # the first one is what the heading announces
    return _joined(paragraphs[-1:]), ""


def _joined(bodies: Iterable[str]) -> str:
    return " ".join(" ".join(bodies).split())
