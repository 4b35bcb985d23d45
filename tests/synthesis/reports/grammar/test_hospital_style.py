"""The reports of another department: read back right, and in other sentences than the shipped grammar's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.report import Report

PHRASES = "configs/reports/grammar_hospital.yaml"


@cache
def cases() -> Sequence[Case]:
    """Cases with many denials and doubts, so that a few hundred meet every slot."""
    sampler = BalancedCaseSampler(absent_mentions=4, uncertain_rate=0.3, device_rate=0.3)
    return [sampler.sample(8, "style", index) for index in range(250)]


@cache
def reports(phrases: str | None) -> Sequence[Report]:
    return GrammarWriter(phrases=phrases).write(cases(), range(len(cases())))


def test_what_it_says_is_read_back_right() -> None:
    """Every finding with side, place, degree and certainty; every denial; nothing else."""
    check = EntityCheck()
    told = zip(cases(), reports(PHRASES), strict=True)
    wrong = [(d, r) for c, r in told for d in check.disagreements(c, r)]
    assert not wrong
    swapped = zip(cases()[1:41], reports(PHRASES), strict=False)
    assert sum(bool(check.disagreements(c, r)) for c, r in swapped) >= 37


def test_no_sentence_about_a_finding_is_one_of_the_shipped_grammar() -> None:
    """Short denials and normal lines ("no consolidation", "clear lungs") any department writes."""
    own, other = ({s for r in reports(p) for s in sentences(r)} for p in (PHRASES, None))
    assert len(own) > 500 and len(own & other) < 0.02 * len(own), sorted(own & other)


def test_it_has_the_marks_of_its_style() -> None:
    text = " ".join(f"{r.findings} {r.impression}" for r in reports(PHRASES))
    for mark in ("PTX", "Lt ", "Rt ", "effn", "Lungs: ", "Heart size: ", "I see no ", ": nil", "oedema"):
        assert mark in text and mark not in " ".join(r.findings for r in reports(None)), mark
    lengths = [[len(s.split()) for r in reports(p) for s in sentences(r)] for p in (PHRASES, None)]
    terse, shipped = (sum(of) / len(of) for of in lengths)
    assert terse < shipped


def test_nouns_come_before_places() -> None:
    case = Case((Finding("consolidation", "left", "lower lobe", "severe"),))
    for report in GrammarWriter(phrases=PHRASES).write([case] * 40, range(40)):
        said = next(s for s in sentences(report) if "lower lobe" in s)
        assert said.index("consol") < said.index("lower lobe")


def sentences(report: Report) -> list[str]:
    parts = re.split(r"(?<=[.])\s+", f"{report.findings} {report.impression}")
    return [re.sub(r"^\d+\.$|\.$", "", part).lower() for part in parts if part]
