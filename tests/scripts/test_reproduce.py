"""`make reproduce-paper` at smoke scale."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

import scripts.reproduce_paper as paper
from scripts.comparison import line, same
from scripts.reproduce_paper import reproduce
from scripts.run_record import RunRecord

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def two_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two arms that differ most stand for the four; that all parse and train alike: test_configs.py."""
    os.chdir(ROOT)
    shutil.copytree("configs/reproduce", tmp_path / "arms")
    for name in ("balanced_clinic", "long_tailed_clean"):
        (tmp_path / "arms" / f"{name}.yaml").unlink()
    monkeypatch.setattr(paper, "ARMS", tmp_path / "arms")


@pytest.mark.usefixtures("two_arms")
def test_the_comparison_is_complete_resumable_and_the_same_twice(tmp_path: Path) -> None:
    table = reproduce("smoke", [0], tmp_path / "one")
    with (tmp_path / "one" / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["arm"] for line in lines] == ["balanced_clean", "long_tailed_clinic"]
    assert all("[" in line[column] for line in lines for column in paper.METRICS)  # each with its interval
    left = {path.name for path in (tmp_path / "one").glob("*.*")}
    assert left == {"runs.csv", "table.md", "table.csv", "table.tex", "plot.png"}

    results = sorted((tmp_path / "one" / "runs").glob("*/result.json"))
    splits = {json.loads(path.read_text())["details"]["test/zero_shot"]["split_sha256"] for path in results}
    assert len(results) == 2
    assert len(splits) == 1  # the same held-out pairs, whatever the arm was trained on

    finished, unfinished = results
    stamp = finished.stat().st_mtime_ns
    unfinished.unlink()  # as if it had been interrupted: run again from its start, the other not at all
    unfinished.with_name("fitted.json").unlink()
    assert reproduce("smoke", [0], tmp_path / "one") == table
    assert finished.stat().st_mtime_ns == stamp


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"differ in number of steps.*'b': 11"):
        same("number of steps", {"a": 10, "b": 11})
    os.chdir(ROOT)
    with pytest.raises(FileNotFoundError, match=r"no such scale \(there are \['full', 'smoke'\]\)"):
        reproduce("tiny", [0], Path("unused"))


def test_a_line_of_the_table() -> None:
    def run(seed: int, *figure: float) -> RunRecord:
        return RunRecord("arm", seed, 10, "32-true", "ab" * 32, dict.fromkeys(paper.METRICS.values(), figure))

    row = line("arm", [run(0, 0.5, 0.4, 0.6), run(1, 0.7, 0.65, 0.75)], paper.METRICS)
    assert row["zero-shot AUROC"] == "0.600 ± 0.141 [0.400, 0.750]"
    assert line("arm", [run(0, 0.5, 0.4, 0.6)], paper.METRICS)["probe AUROC"] == "0.500 [0.400, 0.600]"
