"""The file that the runs of a comparison share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from callbacks.run.draws_file import store_draws
from scripts.comparison.draws import Draws
from scripts.comparison.measure import Measured
from scripts.comparison.record import Record, RunRecord, figures_of
from tests.ddp import context


def run(arm: str, seed: int, steps: int = 10, split: str = "ab") -> RunRecord:
    figures = {"test/zero_shot/auroc_macro": (0.7, 0.6, 0.8), "test/geometry/alignment": (1 / 3, None, None)}
    return RunRecord(arm, seed, {"steps": str(steps), "split_sha256": split, "commit": "c0ffee"}, figures)


def test_what_is_written_is_read_again_in_order(tmp_path: Path) -> None:
    record = Record(tmp_path / "new" / "runs.csv")
    assert record.read() == []
    key = "test/zero_shot/auroc_macro"
    draws = Draws({key: np.array([0.5, 0.75])}, {key: "ab:0:2"})
    runs = [run("clip", 0), run("clip", 1), replace(run("a, b=1", 0), draws=draws)]
    for one in runs:
        record.add(one)
    record.add(runs[0])  # again: in place of itself
    assert record.read() == [runs[2], runs[0], runs[1]]
    kept = record.read()[0].draws
    np.testing.assert_array_equal(kept.values[key], [0.5, 0.75])
    assert kept.sample == draws.sample and not record.read()[1].draws.values


def add_rows(path: Path, arm: str) -> None:
    for seed in range(25):
        Record(path).add(RunRecord(arm, seed, {}, {"m": (0.5, None, None)}))


def test_two_processes_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    writers = [context().Process(target=add_rows, args=(path, arm)) for arm in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [(r.arm, r.seed) for r in Record(path).read()] == [
        (arm, seed) for arm in "ab" for seed in range(25)
    ]


def test_figures_are_taken_with_their_intervals() -> None:
    draws = Draws({"test/probe/1%/auroc_macro": np.zeros(3)}, {"test/probe/1%/auroc_macro": "x"})
    measured = Measured(
        {"test/probe/1%/auroc_macro": 0.6, "test/geometry/alignment": 0.1},
        {"test/probe": {"intervals": {"1%/auroc_macro": [0.5, 0.7]}, "split_sha256": "cd"}},
        draws,
    )
    keys = ["test/probe/1%/auroc_macro", "test/geometry/alignment", "nih:test/probe/auroc", "test/no/such"]
    figures, kept, split = figures_of(measured, "", keys)
    assert figures == {
        "test/probe/1%/auroc_macro": (0.6, 0.5, 0.7),
        "test/geometry/alignment": (0.1, None, None),
    }
    assert split == "cd" and list(kept.values) == ["test/probe/1%/auroc_macro"]
    named = ["nih:test/geometry/alignment", "test/geometry/alignment"]
    assert figures_of(measured, "nih:", named)[0] == {"nih:test/geometry/alignment": (0.1, None, None)}


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("0.7,", "o.7,", r"runs\.csv, line 2: .*could not convert string to float: 'o.7'.*run it again"),
        ("clip,0", "clip,zero", r"runs\.csv, line 2: .*invalid literal for int"),
        ("test/zero_shot/auroc_macro,0.7,0.6,0.8", "", r"runs\.csv, line 2: "),
        ("arm,seed", "arm,sed", r"runs\.csv: columns are \['arm', 'sed'"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    record = Record(tmp_path / "runs.csv")
    record.add(run("clip", 0))
    assert before in record.path.read_text()
    record.path.write_text(record.path.read_text().replace(before, after, 1))
    with pytest.raises(ValueError, match=complaint):
        record.read()


def test_draws_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "clip-0.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"clip-0\.npz holds no draws that can be read .*delete it"):
        Draws.read(tmp_path / "clip-0.npz")


def test_draws_of_a_run_say_which_patients_were_drawn(tmp_path: Path) -> None:
    about = {"seed": 0, "resamples": 3, "n": 7, "split_sha256": "ab"}
    drawn = {"test/probe": {"1%/auroc": np.array([0.25, 0.5, 1.0])}, "test/probe@nih": {"auroc": np.zeros(3)}}
    told = {"test/probe": about, "test/probe@nih": {**about, "split_sha256": "cd"}}
    store_draws(tmp_path / "bootstrap.npz", drawn, told, ["test"])
    found = Draws.of_run(tmp_path / "bootstrap.npz")
    np.testing.assert_array_equal(found.values["test/probe/1%/auroc"], [0.25, 0.5, 1.0])
    assert found.sample == {"test/probe/1%/auroc": "ab:7:0:3", "test/probe@nih/auroc": "cd:7:0:3"}
    assert not Draws.of_run(tmp_path / "none.npz").values
