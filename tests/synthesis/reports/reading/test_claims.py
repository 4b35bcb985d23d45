"""What a report claims, as a prompt of fixed phrases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from synthesis.cases import Case
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.claim_phrases import NO_CLAIMS, SEPARATOR, claim_phrases
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.reading.claims import claims_prompt
from synthesis.reports.sides import with_sides_exchanged
from tests.drawn_cases import CATALOG, cases

ROOT = Path(__file__).resolve().parents[4]
WRITER = GrammarWriter()
PHRASES = frozenset(claim_phrases(CATALOG))
SIDES = {"left": {"left"}, "right": {"right"}, "bilateral": {"left", "right"}}


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        (
            "There is a large left pleural effusion. No pneumothorax.",
            "left pleural effusion, large left pleural effusion",
        ),
        (
            "FINDINGS: Possible small apical pneumothorax on the right. IMPRESSION: Pneumothorax.",
            "right pneumothorax, small right pneumothorax, right pneumothorax (apical), pneumothorax",
        ),
        ("Bilateral pleural effusions.", "left pleural effusion, right pleural effusion"),
        ("Cardiomegaly.", "cardiomegaly"),
        ("No acute abnormality.", NO_CLAIMS),
        ("The lungs are clear.", NO_CLAIMS),
    ],
)
def test_a_report_becomes_phrases(text: str, prompt: str) -> None:
    assert claims_prompt(text, CATALOG) == prompt


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_every_finding_of_a_case_is_claimed_on_its_side_and_nothing_else(case: Case) -> None:
    report = WRITER.write([case], [0])[0]
    phrases = claims_prompt(report.findings, CATALOG).split(SEPARATOR)
    assert set(phrases) <= PHRASES and len(set(phrases)) == len(phrases)
    claimed = {phrase for phrase in phrases if phrase != NO_CLAIMS and "(" not in phrase}
    for finding in case.findings:
        name = CATALOG[finding.concept].preferred_name
        found = {side for side in ("left", "right") if f"{side} {name}" in claimed}
        assert found == SIDES.get(finding.laterality or "", set()), (report.findings, phrases)
        assert found or name in claimed
    present = {CATALOG[name].preferred_name for name in case.concepts(CATALOG) if name != NO_FINDING}
    assert all(any(phrase.endswith(name) for name in present) for phrase in claimed)


def test_exchanged_sides_are_phrases_too() -> None:
    sided = {phrase for phrase in PHRASES if phrase != with_sides_exchanged(phrase)}
    assert sided and {with_sides_exchanged(phrase) for phrase in sided} <= PHRASES


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "concepts").glob("*.yaml")), ids=lambda p: p.stem)
def test_no_phrase_holds_what_stands_between_phrases(path: Path) -> None:
    phrases = claim_phrases(ConceptCatalog(path))
    assert len(set(phrases)) == len(phrases) and not any(SEPARATOR.strip() in phrase for phrase in phrases)
