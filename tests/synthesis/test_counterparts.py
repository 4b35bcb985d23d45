from __future__ import annotations

import numpy as np
import pytest

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.concepts import ConceptCatalog
from synthesis.counterparts import counterpart


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    sampler = BalancedCaseSampler()
    return [sampler.sample(0, "test", i) for i in range(400)]


@pytest.mark.parametrize("kind", ["without", "swap", "side"])
def test_one_finding_changes_and_the_case_stays_plausible(kind, cases, catalog: ConceptCatalog) -> None:
    found = 0
    for number, case in enumerate(cases):
        changed = counterpart(case, kind, np.random.default_rng(number), catalog)
        if changed is None:
            continue
        found += 1
        i, other = changed
        assert other.view == case.view and set(other.absent) <= set(case.absent)
        assert not other.contradictions(catalog)
        rest = case.findings[:i] + case.findings[i + 1 :]
        if kind == "without":
            assert other == case.without(i)
            continue
        assert other.findings[:i] + other.findings[i + 1 :] == rest
        old, new = case.findings[i], other.findings[i]
        assert catalog[old.concept].is_device == catalog[new.concept].is_device
        assert (old.concept == new.concept) == (kind == "side")
        assert (old.concept in other.concepts(catalog)) == (kind == "side")
    assert found > 200


def test_what_has_no_side_and_what_fills_both_cannot_be_mirrored(catalog: ConceptCatalog) -> None:
    rng = np.random.default_rng(0)
    for finding in (
        Finding("cardiomegaly", severity="moderate"),
        Finding("edema", "bilateral", None, "mild"),
    ):
        assert counterpart(Case((finding,)), "side", rng, catalog) is None
    for kind in ("without", "swap", "side"):
        assert counterpart(Case(()), kind, rng, catalog) is None  # type: ignore[arg-type]


def test_a_swap_keeps_side_and_degree_and_takes_back_a_denial(catalog: ConceptCatalog) -> None:
    effusion = Finding("pleural_effusion", "left", None, "large")
    concepts = set()
    for number in range(60):
        case = Case((effusion,), absent=("pneumothorax", "cardiomegaly"))
        found = counterpart(case, "swap", np.random.default_rng(number), catalog)
        assert found is not None
        (new,) = found[1].findings
        concepts.add(new.concept)
        concept = catalog[new.concept]
        if "left" in concept.lateralities:
            assert new.laterality == "left"
        if concept.severities:
            assert new.severity == concept.severities[-1]
        assert new.concept not in found[1].absent
    assert len(concepts) > 8 and "pneumothorax" in concepts
