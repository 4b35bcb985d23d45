"""Plans beside what runs took: the committed run, a small corpus, the order of an epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import plan_check
from scripts.plan import RESULTS


def test_the_short_recipe_takes_what_its_plan_says_and_evaluations_beside() -> None:
    steps, time = plan_check.of_a_run(RESULTS)
    assert steps.ratio == pytest.approx(1, abs=0.01)
    assert 0.8 < time.ratio < 2, "another machine's figures, or a plan that leaves out more than it says"


def test_a_small_corpus_takes_the_disk_that_was_planned() -> None:
    check = plan_check.of_disk(RESULTS, pairs=16)
    assert 0.9 < check.ratio < 1.5  # a manifest weighs much beside 16 pairs


def test_the_order_of_an_epoch_takes_the_memory_that_was_planned() -> None:
    assert 0.5 < plan_check.of_memory(RESULTS, 100_000).ratio < 1.3


def test_what_is_written_is_what_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_check.main([f"--results={tmp_path}", "--pairs=2", "--epoch=20000"])
    found = json.loads((tmp_path / "plan.json").read_bytes())
    assert [row["what"] for row in found][-2:] == ["corpus on disk", "order of an epoch in memory"]
    assert all(row["ratio"] == pytest.approx(row["measured"] / row["planned"]) for row in found)
    text = (tmp_path / "plan.md").read_text()
    assert text in capsys.readouterr().out and f"| {found[1]['ratio']:.2f} |" in text
