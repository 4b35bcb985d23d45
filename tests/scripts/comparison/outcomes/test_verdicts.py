"""Verdicts on published claims come from the record alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scripts.comparison.engine import Plan
from scripts.comparison.outcomes.claim import read_claims
from scripts.comparison.outcomes.results import read_results
from scripts.comparison.outcomes.verdicts import verdict, verdict_note, verdict_rows
from scripts.comparison.reader import read_comparison
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import Difference
from synthesis.strict_yaml import YamlError

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.mark.parametrize(
    ("low", "high", "margin", "told"),
    [
        (0.01, 0.2, 0, "holds"),
        (-0.2, -0.01, 0, "fails"),
        (-0.1, 0.1, 0, "undecided here"),
        (None, None, 0, "undecided here"),
        (-0.01, 0.2, 0.02, "holds"),  # as good as, within the margin
        (-0.03, -0.01, 0.02, "undecided here"),
        (-0.2, -0.03, 0.02, "fails"),
    ],
)
def test_only_an_interval_over_patients_and_seeds_that_excludes_0_decides(
    low: float | None, high: float | None, margin: float, told: str
) -> None:
    assert verdict(Difference(0.0, {}, 0.5, 0.6, True, 0.001, low, high), margin) == told
    assert verdict(None, margin) == "undecided here"


def test_every_claim_is_answered_from_the_record_or_said_not_to_have_been_run(tmp_path: Path) -> None:
    plan = Plan(read_comparison("paper"), "cpu", tmp_path)
    key = plan.comparison.metric("zero-shot AUROC").key
    figures = {"synthetic": (0.70, 0.71, 0.72), "hospital": (0.60, 0.61, 0.63), "both": (0.60, 0.62, 0.63)}
    for arm, values in figures.items():
        for seed, value in enumerate(values):
            plan.record.add(RunRecord(arm, seed, {"steps": "9"}, {key: (value, value - 0.01, value + 0.01)}))
    claims, note = read_claims(Path(plan.comparison.claims), plan.comparison)
    rows = verdict_rows(claims, read_results(plan))
    told = {str(row["claim"]): row for row in rows}
    first = told["Synthetic pairs alone beat real ones in zero-shot classification"]
    assert first["verdict"] == "holds" and str(first["ours"]).startswith("+0.097, 3 seeds [+0.0")
    assert first["why"] == "the interval lies above 0" and first["what would decide"] == "—"
    assert told["At equal size real pairs are better"]["verdict"] == "fails"
    mixed = told["Real and synthetic pairs together beat real ones"]
    assert mixed["verdict"] == "undecided here"
    assert "would have been detected in 80 % of such runs" in str(mixed["why"])
    assert "× the patients, if what was seen is true; five seeds" in str(mixed["what would decide"])
    others = [row for row in rows if row["verdict"] == "undecided here" and row is not mixed]
    assert len(others) == len(rows) - 3 and all(row["ours"] == "not run" for row in others)
    cleaning = told["Filtering a real set of bad pairs pays"]
    assert cleaning["why"] == "not run or not measured: hospital, N, cleaned by filters"
    assert "no pair is of a real patient" in verdict_note("cpu", note)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"arm": "clinic"}, r"claim images, key arm: 'clinic' is unknown here; use one of"),
        ({"margin": 2}, r"claim images, key margin: 2 is not a number from 0 to 1"),
        ({"verdict": "holds"}, r"claim images, key verdict: 'holds' stands under an unknown key"),
    ],
)
def test_a_mistake_in_the_claims_is_named(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    comparison = read_comparison("paper")
    content = yaml.safe_load(Path(comparison.claims).read_text())
    content["claims"]["images"] |= change
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(YamlError, match=complaint):
        read_claims(path, replace(comparison, claims=str(path)))
