"""Verdicts on published claims come from the record alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.comparison.engine import Plan
from scripts.comparison.reader import read_comparison
from scripts.comparison.record import RunRecord
from scripts.comparison.report import read_results
from scripts.comparison.statistics import Difference
from scripts.comparison.verdicts import CLAIMS, read_claims, verdict, verdict_rows, write_verdicts

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.01, 0.2, "holds"), (-0.2, -0.01, "fails"), (-0.1, 0.1, "undecided"), (None, None, "undecided")],
)
def test_only_an_interval_over_patients_and_seeds_that_excludes_0_decides(
    low: float | None, high: float | None, told: str
) -> None:
    assert verdict(Difference(0.0, {}, 0.5, 0.6, True, 0.001, low, high)) == told
    assert verdict(None) == "undecided"


def test_every_claim_is_answered_from_the_record_or_said_not_to_have_been_run(tmp_path: Path) -> None:
    plan = Plan(read_comparison("paper"), "cpu", tmp_path)
    key = plan.comparison.metric("zero-shot AUROC").key
    for arm, values in {"synthetic": (0.70, 0.71, 0.72), "hospital": (0.60, 0.61, 0.62)}.items():
        for seed, value in enumerate(values):
            plan.record.add(RunRecord(arm, seed, {"steps": "9"}, {key: (value, value - 0.01, value + 0.01)}))
    rows = verdict_rows(read_claims(CLAIMS, plan.comparison), read_results(plan))
    told = {str(row["claim"]): row for row in rows}
    first = told["Synthetic pairs alone beat real ones in zero-shot classification"]
    assert first["verdict here"] == "holds" and str(first["ours"]).startswith("+0.100, 3 seeds [+0.0")
    assert told["At equal size real pairs are better"]["verdict here"] == "fails"
    others = [row for row in rows if row["verdict here"] == "undecided"]
    assert len(others) == len(rows) - 2 and all(row["ours"] == "not run" for row in others)
    assert "no pair is of a real patient" in write_verdicts(plan, CLAIMS)
