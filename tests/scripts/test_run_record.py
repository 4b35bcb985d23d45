"""The file that the runs of a comparison share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.comparison import run_all
from scripts.run_record import RunRecord, read_runs, write_runs


def record(arm: str, seed: int, steps: int = 10, split: str = "ab") -> RunRecord:
    figures = {"test/zero_shot/auroc_macro": (0.7, 0.6, 0.8), "test/geometry/alignment": (1 / 3, None, None)}
    return RunRecord(arm, seed, steps, "32-true", split, figures)


def test_what_is_written_is_read_again_in_order(tmp_path: Path) -> None:
    runs = [record("clip", 0), record("clip", 1), record("twins", 0)]
    write_runs(tmp_path / "new" / "runs.csv", reversed(runs))
    assert read_runs(tmp_path / "new" / "runs.csv") == runs
    assert read_runs(tmp_path / "none.csv") == []


def test_figures_are_found_with_their_intervals() -> None:
    result = {
        "global_step": 7,
        "metrics": {"test/probe/1%/auroc_macro": 0.6, "test/geometry/alignment": 0.1},
        "details": {
            "test/probe": {"intervals": {"1%/auroc_macro": [0.5, 0.7]}},
            "test/zero_shot": {"split_sha256": "cd"},
        },
    }
    config = {"seed_everything": 3, "trainer": {"precision": "16-mixed"}}
    run = RunRecord.of("clip", config, result, list(result["metrics"]))
    figures = {"test/probe/1%/auroc_macro": (0.6, 0.5, 0.7), "test/geometry/alignment": (0.1, None, None)}
    assert run == RunRecord("clip", 3, 7, "16-mixed", "cd", figures)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("0.7,", "o.7,", r"runs\.csv, line 2: .*could not convert string to float: 'o.7'.*run it again"),
        ("clip,0", "clip,zero", r"runs\.csv, line 2: .*invalid literal for int"),
        (",ab,test/zero_shot/auroc_macro,0.7,0.6,0.8", "", r"runs\.csv, line 2: "),
        ("arm,seed", "arm,sed", r"runs\.csv: columns are \['arm', 'sed'"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    path = tmp_path / "runs.csv"
    write_runs(path, [record("clip", 0)])
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(ValueError, match=complaint):
        read_runs(path)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (record("clip", 1, steps=11), r"differ in number of steps in .*runs\.csv.*'clip, seed 1': 11"),
        (record("twins", 0, split="cd"), r"differ in test split in .*runs\.csv"),
    ],
)
def test_runs_that_were_not_trained_or_tested_alike_are_refused(
    tmp_path: Path, other: RunRecord, complaint: str
) -> None:
    write_runs(tmp_path / "runs.csv", [record("clip", 0), other])
    with pytest.raises(ValueError, match=complaint):
        run_all({}, list(other.figures), tmp_path / "runs.csv")
