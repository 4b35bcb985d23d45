"""Sweeps without a network: expanded here as Weights & Biases would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.sweep_local import arguments, read_sweep, rows, run_sweep

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
    sweep = read_sweep(path)
    for values in rows(sweep, path):
        agent = create_sweep_command_args(
            {"args": {name: {"value": value} for name, value in values.items()}}
        )
        assert arguments(sweep, values) == ("-c", "configs/pretrain.yaml", *agent["args"])


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
    import scripts.experiments as experiments

    ran = []

    def train(self: experiments.Experiment) -> dict[str, Any]:
        ran.append(self.name)
        if self.name == "lr=0.1, kind=b, n=True" and interrupted:
            raise KeyboardInterrupt
        self.directory.mkdir(parents=True)
        score = float(next(a for a in self.args if a.startswith("--model.lr=")).partition("=")[2])
        return {"metrics": {METRIC["name"]: score}, "details": {}, "global_step": 1}

    monkeypatch.setattr(experiments.Experiment, "_train", train)
    monkeypatch.setattr(experiments, "resolved_config", lambda *args: {"args": args})
    path, interrupted = sweep_file(tmp_path / "s.yaml"), True
    with pytest.raises(KeyboardInterrupt):
        run_sweep(path, tmp_path / "out")
    interrupted = False
    table = run_sweep(path, tmp_path / "out")
    assert len(ran) == 7  # six rows, one of them twice
    assert table == run_sweep(path, tmp_path / "out")
    assert len(ran) == 7
    assert "0.1" in table.splitlines()[2]  # the best first
    assert (tmp_path / "out" / "plot.png").stat().st_size > 1000
    sweep_file(path, parameters={"model.lr": {"values": [0.5]}})
    run_sweep(path, tmp_path / "out")
    assert len(ran) == 8  # another configuration in the same place is another row
