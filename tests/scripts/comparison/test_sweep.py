"""Sweeps without a network: expanded here as Weights & Biases would."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.comparison.configuration import words
from scripts.comparison.engine import Plan
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
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
    assert "6 of 6 runs are to be trained" in capfd.readouterr().out
    main([str(path), f"--out={out}"])
    assert re.search(r"^5 done, 1 to go: about \d+ s on this machine$", capfd.readouterr().out, re.MULTILINE)
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


@pytest.mark.slow
def test_a_row_of_a_sweep_runs_in_seconds_at_a_small_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    judges = ["FeatureCollector", "ZeroShot", "RunSummary"]
    callbacks = json.dumps([{"class_path": f"callbacks.{name}"} for name in judges])
    lean = [f"trainer.callbacks={callbacks}", "trainer.logger=false", "trainer.max_epochs=1"]
    given = [word for value in (*lean, f"data.init_args.cache_dir={tmp_path}") for word in ("--set", value)]
    row = ["--arms", "temperature=0.2, learnable=True"]
    main(["configs/sweeps/temperature.yaml", "--scale=smoke", f"--out={tmp_path}", *row, *given])
    table = (tmp_path / "table.md").read_text()
    assert "Scale: smoke. Not run: temperature=0.03, learnable=True;" in table
    assert re.search(r"^\| 0\.200 \| True \| 0\.\d+ \|$", table, re.MULTILINE)


def test_a_small_scale_lies_under_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    changed = {"data.init_args.loader.batch_size": {"value": 8}}
    command = [*COMMAND[:-1], "-c", "configs/recipes/sweep.yaml", "${args}"]
    comparison = comparison_of(sweep_file(tmp_path / "s.yaml", parameters=changed, command=command))
    assert comparison.scales.keys() > {"full", "smoke", "smoke_task", "short"}
    sizes = []
    for scale in ("full", "smoke"):
        (run,) = Plan(comparison, scale, tmp_path).wanted()
        data = run.config()["data"]["init_args"]
        sizes.append((data["train_pairs"], data["loader"]["epoch_size"], data["loader"]["batch_size"]))
    assert sizes == [(8000, 4000, 8), (64, 32, 8)]


def test_recipes_are_scales_in_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs/recipes").mkdir(parents=True)
    (tmp_path / "configs/recipes/mine.yaml").touch()
    comparison = comparison_of(Path("configs/sweeps/temperature.yaml"))
    assert comparison.scales.keys() > {"full", "smoke", "mine"}
    with pytest.raises(ValueError, match="no scale 'tiny'; there are "):
        Plan(comparison, "tiny", tmp_path)


def test_the_committed_sweep_is_drawn_again(tmp_path: Path) -> None:
    committed = ROOT / "results" / "temperature"
    shutil.copyfile(committed / "runs.csv", tmp_path / "runs.csv")
    main([str(ROOT / "configs/sweeps/temperature.yaml"), f"--out={tmp_path}", "--arms"])
    assert (tmp_path / "table.md").read_text() == (committed / "table.md").read_text()
    assert (tmp_path / "table.csv").read_text() == (committed / "table.csv").read_text()
