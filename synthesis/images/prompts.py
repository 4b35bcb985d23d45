"""The prompt of a case: what a generator is told to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.reports.reading.claims import claims_prompt
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.report import Report

Section = Literal["impression", "findings", "report", "concepts", "claims"]


def prompts(
    section: Section, cases: Sequence[Case], reports: Sequence[Report] | None, catalog: ConceptCatalog
) -> list[str]:
    """Return the prompt of each case, as the generator has read it in training.

    Args:
        section: A section of the report, ``report`` for all of it, ``concepts`` for the names of what is
            present, in catalogue order, ``claims`` for what all of the report claims, see `claims_prompt`.
        cases: What to show.
        reports: Their reports.
        catalog: The concepts; only for ``concepts`` and ``claims``.

    Raises:
        ValueError: If the section is unknown, reports are needed and there are none, or one says nothing; one
            that its writer gave up may.
    """
    if section not in get_args(Section):
        raise ValueError(f"section={section!r}: give one of {', '.join(get_args(Section))}")
    if section == "concepts":
        return [", ".join(_present(case, catalog)) for case in cases]
    if reports is None:
        raise ValueError(f"section={section!r} needs reports, and there are none; give 'concepts'")
    found = [_text(section, report).strip() or report.text.strip() for report in reports]
    for number, (text, report) in enumerate(zip(found, reports, strict=True)):
        if not text and not report.dropped:
            raise ValueError(
                f"report {number} of {len(found)} is blank ({report!r}): there is no prompt to draw; leave "
                "its case out, or have it written"
            )
    return [claims_prompt(text, catalog) for text in found] if section == "claims" else found


def prompt_rules(section: Section, catalog: ConceptCatalog) -> Any:
    """Return what prompts depend on beside the report and the section, for fingerprints; JSON-able.

    Args:
        section: See `prompts`.
        catalog: The concepts.
    """
    if section == "claims":
        reader = EntityExtractor.load(catalog.path)
        return {"reader": reader.version, **reader.describe()}
    return catalog.sha256 if section == "concepts" else None


def _present(case: Case, catalog: ConceptCatalog) -> list[str]:
    present = case.concepts(catalog)
    return [name.replace("_", " ") for name in catalog.names if name in present]


def _text(section: Section, report: Report) -> str:
    return {"impression": report.impression, "findings": report.findings}.get(section, report.text)
