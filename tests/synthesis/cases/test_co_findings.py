"""Findings join a case as often as published, and as the catalogue allows."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthesis.cases import Case, Finding
from synthesis.cases.case import SIDES
from synthesis.cases.co_findings import DEFAULT_CO_FINDINGS, CoFinding, CoFindingCaseSampler, CoFindings
from synthesis.concepts import ConceptCatalog
from synthesis.strict_yaml import YamlError

CATALOG = "configs/concepts/consequences.yaml"
COUNT = 12_000


@cache
def cases() -> tuple[Case, ...]:
    sampler = CoFindingCaseSampler(catalog=CATALOG, findings_per_case=(0.15, 0.25, 0.3, 0.2, 0.1))
    return tuple(sampler.sample(0, "train", i) for i in range(COUNT))


def led_by(lead: str) -> list[Case]:
    return [case for case in cases() if case.findings and case.findings[0].concept == lead]


RATES = CoFindings(DEFAULT_CO_FINDINGS, ConceptCatalog.load(CATALOG)).of


def has_place(findings: list[Finding], other: CoFinding) -> bool:
    """Whether the catalogue lets a co-finding join these, on some side that it may lie on."""
    catalog = ConceptCatalog.load(CATALOG)
    sides = catalog[other.name].lateralities or (None,)
    if other.same_side:
        sides = tuple(s for s in sides if findings[0].laterality in (s, "bilateral"))
    return any(
        not Case((*findings, Finding(other.name, side, (catalog[other.name].places(side) or (None,))[0],
                                     (catalog[other.name].severities or (None,))[0]))).contradictions(catalog)
        for side in sides
    )  # fmt: skip


@pytest.mark.parametrize("lead", sorted(RATES))
def test_co_findings_occur_at_their_rates(lead: str) -> None:
    drawn = led_by(lead)
    assert len(drawn) > 200
    before: set[str] = {lead}
    for other in RATES[lead]:
        # Where what was drawn before leaves no place (an infiltrate beside pneumonia), it cannot join.
        free = [c for c in drawn if has_place([f for f in c.findings if f.concept in before], other)]
        before.add(other.name)
        joined = [case for case in free if any(f.concept == other.name for f in case.findings)]
        spread = (other.rate * (1 - other.rate) / len(free)) ** 0.5
        assert abs(len(joined) / len(free) - other.rate) < 4 * spread + 0.02, (other, len(joined), len(free))


def test_edema_comes_with_a_large_heart_and_effusions_on_both_sides() -> None:
    drawn = led_by("edema")
    hearts = sum(any(f.concept == "cardiomegaly" for f in case.findings) for case in drawn)
    assert 0.66 < hearts / len(drawn) < 0.82
    sides = Counter(f.laterality for case in drawn for f in case.findings if f.concept == "pleural_effusion")
    assert 0.55 < sides["bilateral"] / sides.total() < 0.9


def test_fluid_and_collapse_share_a_side() -> None:
    for lead, other in (("pleural_effusion", "atelectasis"), ("pneumothorax", "pleural_effusion")):
        pairs = [(case.findings[0], f) for case in led_by(lead) for f in case.findings if f.concept == other]
        assert len(pairs) > 30
        assert all(SIDES[a.laterality] & SIDES[b.laterality] for a, b in pairs)


def test_cases_stay_plausible_and_concepts_lead_equally_often() -> None:
    catalog = ConceptCatalog.load(CATALOG)
    assert not [text for case in cases()[:3000] for text in case.contradictions(catalog)]
    leads = Counter(case.findings[0].concept for case in cases() if len(case.findings) > 0)
    assert leads["edema"] > 0.8 * leads["nodule"]


def test_pneumonia_and_infiltrate_lie_around_the_hila_too() -> None:
    for concept in ("pneumonia", "infiltration", "consolidation"):
        places = {
            (f.laterality, f.location) for case in cases() for f in case.findings if f.concept == concept
        }
        assert ("bilateral", "perihilar") in places and ("left", "perihilar") not in places


def content(**changes: Any) -> dict[str, Any]:
    edema = {"cardiomegaly": {"rate": 0.5, "source": "paper"}}
    sources = {"paper": {"citation": "A paper.", "doi": "10.1000/paper"}}
    return {"sources": sources, "leads": {"edema": edema}} | changes


def effusion(**keys: Any) -> dict[str, Any]:
    return {"leads": {"edema": {"pleural_effusion": {"rate": 0.5, "source": "paper", **keys}}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leads": {"oedema": {}}}, "key leads: 'oedema' is no concept that is sampled"),
        ({"leads": {"edema": {"heart": {}}}}, "concept heart, key concept: 'heart' is not sampled"),
        (
            {"leads": {"pneumonia": {"consolidation": {"rate": 1, "source": "paper"}}}},
            "'consolidation' can never join pneumonia",
        ),
        (effusion(rate=1.5), "key rate: 1.5 is not a number from 0 to 1"),
        (effusion(source="book"), "key source: 'book' is unknown here; use one of: paper"),
        (effusion(sides={"middle": 1}, sides_source="paper"), "key middle: 1 is no side of pleural_effusion"),
        (effusion(sides={"left": 0}, sides_source="paper"), "leaves no side"),
        (effusion(chance=0.5), "key chance: 0.5 stands under an unknown key"),
        ({"leads": {"edema": {"mass": {"count": 9, "of": 3, "source": "paper"}}}}, "key count: 9"),
        (
            {"leads": {"edema": {"cardiomegaly": {"rate": 1, "source": "paper", "same_side": True}}}},
            "asks for a side that edema or cardiomegaly does not have",
        ),
        ({"sources": {"paper": {"citation": "A paper."}}}, "source paper, key doi: missing"),
    ],
)
def test_wrong_rates_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump(content(**changes)))
    with pytest.raises(YamlError, match=message):
        CoFindingCaseSampler(co_findings=path)
