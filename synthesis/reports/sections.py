"""The sections of a report: cutting a text at its headings, and writing the headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from synthesis.reports.headings import Kind, headings
from synthesis.reports.sentences import unwrapped


def cut(text: str, last_paragraph: bool = False) -> tuple[str, str]:
    """Return the FINDINGS and the IMPRESSION of a report, empty where there is none.

    Sections may stand in any order; one that comes twice is put together. Sub-headings ("LUNGS: …") stay in
    the text of their section. Where nothing stands under FINDINGS, a section whose heading names the views
    ("CHEST, TWO VIEWS:") or sub-headings outside any section take its place. A report with neither section is
    findings as a whole, without what stands under headings of another purpose (indication, comparison …).

    Args:
        text: The whole report.
        last_paragraph: Of a report with neither section, take the last paragraph only, as MIMIC-CXR's own
            section files do.
    """
    text = "\n".join(text.splitlines())
    sections = list(_sections(text))
    findings = _put_together(body for kind, body in sections if kind == "findings")
    impression = _put_together(body for kind, body in sections if kind == "impression")
    findings = findings or _put_together(_without_scraps(b for k, b in sections if k in ("views", "organ")))
    if findings or impression:
        return findings, impression
    return _unheaded(sections, text, last_paragraph), ""


def with_headings(findings: str, impression: str) -> str:
    """Return both sections under their headings on one line; an empty one has no heading."""
    sections = {"FINDINGS": findings.strip(), "IMPRESSION": impression.strip()}
    return " ".join(f"{heading}: {text}" for heading, text in sections.items() if text)


def _sections(text: str) -> Iterator[tuple[Kind | None, str]]:
    """Yield the sections of a text in order: the kind of each (None before any heading) and what it holds."""
    kind: Kind | None = None
    begin = 0
    for heading in headings(text):
        inside = kind in ("findings", "impression", "views", "organ")
        if inside and heading.kind in ("views", "organ"):
            continue  # part of the section
        yield kind, text[begin : heading.start]
        kind = heading.kind
        begin = heading.start if kind == "organ" else heading.end
    yield kind, text[begin:]


def _put_together(bodies: Iterable[str]) -> str:
    return unwrapped("\n\n".join(body.strip() for body in bodies if body.strip()))


def _without_scraps(bodies: Iterable[str]) -> Iterator[str]:
    """Leave out paragraphs of a word or two above others: a date, a time, "Portable."."""
    for body in bodies:
        paragraphs = _paragraphs(body)
        yield "\n\n".join(p for p in paragraphs if len(p.split()) > 2 or p is paragraphs[-1])


def _unheaded(sections: Sequence[tuple[Kind | None, str]], text: str, last_paragraph: bool) -> str:
    """Return the findings of a report that has neither section."""
    if last_paragraph:
        kind, body = sections[-1]
        # The first paragraph is what a heading of another purpose announces.
        return unwrapped("".join(_paragraphs(body)[1 if kind == "other" else 0 :][-1:]))
    rest = _put_together(body for kind, body in sections if kind != "other")
    if not rest and sections[-1][0] == "other":
        rest = unwrapped("\n\n".join(_paragraphs(sections[-1][1])[1:]))
    return rest or unwrapped(text)


def _paragraphs(text: str) -> list[str]:
    return [paragraph for paragraph in re.split(r"\n\s*\n", text.strip()) if paragraph.strip()]
