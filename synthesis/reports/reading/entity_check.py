"""Does a report say what its case holds, and nothing else?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthesis.cases import Case, Finding
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.reading.entities import EntityExtractor, Mention
from synthesis.reports.reading.entity_reader import EntityReader
from synthesis.reports.report import Report


@dataclass(frozen=True)
class Disagreement:
    """One way in which a report differs from its case.

    Attributes:
        reason: "missing", "extra", "denied", "not denied", "certainty", "side", "place" or "severity".
        concept: The concept that it is about.
        detail: The words of the report and what the case holds.
    """

    reason: str
    concept: str
    detail: str


class EntityCheck:
    """Compares the entities of a report with its case.

    Of the FINDINGS it asks: every finding is there, as certain as in the case, with its side if its concept
    has several; every concept to be denied is denied. Of both sections: nothing is asserted or doubted that
    the case does not hold, nothing is denied that it holds, and no side, place or severity is another than
    that of the case. What is implied (an "opacity" for a consolidation) may be said; what is left out of the
    IMPRESSION is no fault.

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        extractor: Reads the entities: a trained `TokenClassifier`, say; None takes
            the rules of `EntityExtractor`.
    """

    def __init__(self, catalog: str | Path | None = None, extractor: EntityReader | None = None) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        self._extractor: EntityReader = extractor or EntityExtractor.load(catalog)

    def disagreements(self, case: Case, report: Report) -> list[Disagreement]:
        """Return every way in which a report differs from its case; an empty list means that they agree."""
        findings = self._extractor.extract(report.findings)
        impression = self._extractor.extract(report.impression)
        return [
            *self._omitted(case, findings),
            *(d for m in findings for d in self._mention(case, m, report.findings)),
            *(d for m in impression for d in self._mention(case, m, report.impression)),
        ]

    def _omitted(self, case: Case, mentions: Sequence[Mention]) -> Iterator[Disagreement]:
        for finding in case.findings:
            stated = [m for m in mentions if m.concept == finding.concept and m.status != "absent"]
            if not stated:
                yield Disagreement("missing", finding.concept, f"FINDINGS does not state {finding}")
            elif len(self._catalog[finding.concept].lateralities) > 1 and not any(
                m.laterality for m in stated
            ):
                yield Disagreement("side", finding.concept, f"FINDINGS gives no side for {finding}")
        denied = {m.concept for m in mentions if m.status == "absent" and m.laterality in (None, "bilateral")}
        for name in case.absent:
            if denied.isdisjoint(self._catalog.closure([name])):
                yield Disagreement("not denied", name, "FINDINGS does not deny it")

    def _mention(self, case: Case, mention: Mention, text: str) -> Iterator[Disagreement]:
        """Compare one mention with what the case holds."""
        name, words = mention.concept, repr(text[mention.start : mention.end])
        if name == NO_FINDING:
            if NO_FINDING not in case.concepts(self._catalog):
                yield Disagreement("extra", name, f"{words}, but there are findings")
            return
        holders = [f for f in case.findings if self._catalog.implies(f.concept, name)]
        if mention.status == "absent":
            hidden = [f for f in holders if _meet(f.laterality, mention.laterality)]
            if hidden:
                yield Disagreement("denied", name, f"{words} is denied, the case holds {hidden[0]}")
        elif not holders:
            yield Disagreement("extra", name, f"{words} is stated, the case does not hold it")
        else:
            yield from self._details(mention, holders, words)

    def _details(self, mention: Mention, holders: Sequence[Finding], words: str) -> Iterator[Disagreement]:
        """Compare certainty, side, place and severity with those of the findings that may be meant."""
        own = [f for f in holders if f.concept == mention.concept]
        for finding in own:
            if (mention.status == "uncertain") != (finding.certainty == "possible"):
                yield Disagreement(
                    "certainty", mention.concept, f"{words} is {mention.status}, the case holds {finding}"
                )
        said = {"side": mention.laterality, "place": mention.location, "severity": mention.severity}
        for reason, value in said.items():
            held = [
                {"side": f.laterality, "place": f.location, "severity": f.severity}[reason]
                for f in own or holders
            ]
            if value is not None and value not in held and (own or reason == "side"):
                yield Disagreement(
                    reason, mention.concept, f"{words} is said to be {value}, the case holds {held}"
                )


def _meet(side: str | None, other: str | None) -> bool:
    """Return whether two sides have anything in common; None and "bilateral" are everywhere."""
    return side == other or not {side, other} <= {"left", "right"}
