"""Sweeps without a network: expanded here as Weights & Biases would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.comparison.configuration import words
from scripts.comparison.run import Run
from scripts.comparison.sweep import comparison_of, main, read_sweep, rows

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ["${env}", "${interpreter}", "${program}", "fit", "-c", "configs/pretrain.yaml", "${args}"]
METRIC = {"name": "val/zero_shot/auroc_macro", "goal": "maximize"}


def sweep_file(path: Path, **changes: Any) -> Path:
    sweep = {
        "program": "main.py",
        "command": COMMAND,
        "method": "grid",
        "metric": METRIC,
        "parameters": {
            "model.lr": {"values": [1e-5, 0.1]},
            "data.kind": {"values": ["a", "b", "c"]},
            "n": {"value": True},
        },
        **changes,
    }
    path.write_text(yaml.safe_dump({k: v for k, v in sweep.items() if v is not None}, sort_keys=False))
    return path


def test_a_grid_is_the_product_of_its_values(tmp_path: Path) -> None:
    path = sweep_file(tmp_path / "s.yaml")
    lines = rows(read_sweep(path), path)
    assert {(line["model.lr"], line["data.kind"], line["n"]) for line in lines} == {
        (lr, kind, True) for lr in (1e-5, 0.1) for kind in "abc"
    }
    assert len(lines) == 6


def test_arguments_are_those_of_the_real_agent(tmp_path: Path) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    path = sweep_file(tmp_path / "s.yaml")
    expected = []
    for values in rows(read_sweep(path), path):
        agent = create_sweep_command_args(
            {"args": {name: {"value": value} for name, value in values.items()}}
        )
        expected.append(("-c", "configs/pretrain.yaml", *agent["args"]))
    given = [words(arm.layers) for arm in comparison_of(path).arms.values()]
    assert [[yaml.safe_load(word.partition("=")[2] or word) for word in words] for words in given] == [
        [yaml.safe_load(word.partition("=")[2] or word) for word in words] for words in expected
    ]


def test_random_draws_keep_to_their_distributions(tmp_path: Path) -> None:
    parameters = {
        "log": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "flat": {"min": -1.0, "max": 1.0},
        "whole": {"min": 1, "max": 3},
        "choice": {"values": ["often", "never"], "probabilities": [1.0, 0.0]},
    }
    path = sweep_file(tmp_path / "s.yaml", method="random", run_cap=400, parameters=parameters)
    lines = rows(read_sweep(path), path)
    assert lines == rows(read_sweep(path), path)
    assert len(lines) == 400
    assert all(1e-4 <= line["log"] <= 1e-1 and -1 <= line["flat"] <= 1 for line in lines)
    assert {line["whole"] for line in lines} == {1, 2, 3}
    assert {line["choice"] for line in lines} == {"often"}
    below = sum(line["log"] < 10**-2.5 for line in lines) / 400  # half of the draws, on a log scale
    assert 0.4 < below < 0.6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "bayes"}, ["bayes", "make sweep"]),
        ({"metric": None}, ["metric", "missing"]),
        ({"command": ["${program}", "fit"]}, ["command", "args"]),
        ({"parameters": {"model": {"parameters": {"lr": {"value": 1}}}}}, ["'model'", "nested", "flat"]),
        ({"parameters": {"lr": {"min": 0, "max": 1}}}, ["'lr'", "'values'"]),
        (
            {"method": "random", "parameters": {"lr": {"min": 0, "max": 1, "distribution": "beta"}}},
            ["'lr'", "beta"],
        ),
    ],
)
def test_a_bad_sweep_file_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    path = sweep_file(tmp_path / "bad.yaml", **changes)
    with pytest.raises(ValueError, match=r"bad\.yaml") as error:
        rows(read_sweep(path), path)
    assert all(word in str(error.value) for word in words), error.value


def test_a_sweep_is_ranked_and_finished_rows_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def train(self: Run, minutes: float = 0.0) -> dict[str, Any]:
        if not (self.directory / "summary.json").exists():
            ran.append(self.arm.name)
            if self.arm.name == "lr=0.1, kind=b, n=True" and interrupted:
                raise KeyboardInterrupt
            self.directory.mkdir(parents=True)
            score = float(next(a for a in self.args if a.startswith("--model.lr=")).partition("=")[2])
            (self.directory / "summary.json").write_text(json.dumps({METRIC["name"]: score}))
        return {"global_step": 1}

    monkeypatch.setattr(Run, "train", train)
    monkeypatch.setattr(Run, "config", lambda self: {"args": self.args, "trainer": {"precision": None}})
    path, out, interrupted = sweep_file(tmp_path / "s.yaml"), tmp_path / "out", True
    with pytest.raises(KeyboardInterrupt):
        main([str(path), f"--out={out}"])
    interrupted = False
    main([str(path), f"--out={out}"])
    assert len(ran) == 7  # six rows, one of them twice
    main([str(path), f"--out={out}"])
    assert len(ran) == 7
    table = (out / "table.md").read_text()
    assert "0.1" in table.splitlines()[2]  # the best first
    assert (out / "plot.png").stat().st_size > 1000
    sweep_file(path, parameters={"model.lr": {"values": [0.5, 0.1]}, "seed_everything": {"value": 4}})
    main([str(path), f"--out={out}", "--arms", "lr=0.5, seed_everything=4"])
    assert len(ran) == 8
    assert "Not run: lr=0.1, seed_everything=4." in (out / "table.md").read_text()


def test_the_committed_sweep_is_drawn_again(tmp_path: Path) -> None:
    committed = ROOT / "results" / "temperature"
    shutil.copyfile(committed / "runs.csv", tmp_path / "runs.csv")
    main([str(ROOT / "configs/sweeps/temperature.yaml"), f"--out={tmp_path}", "--arms"])
    assert (tmp_path / "table.md").read_text() == (committed / "table.md").read_text()
    assert (tmp_path / "table.csv").read_text() == (committed / "table.csv").read_text()
