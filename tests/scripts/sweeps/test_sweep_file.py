"""Sweep files: read, and expanded as Weights & Biases would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.comparison.configuration import words
from scripts.comparison.engine import Plan
from scripts.sweeps.early_termination import EarlyTermination
from scripts.sweeps.sweep_file import SweepFile, scales

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


def read(path: Path, **changes: Any) -> SweepFile:
    return SweepFile.read(sweep_file(path / "bad.yaml", **changes))


def test_a_grid_is_the_product_of_its_values(tmp_path: Path) -> None:
    lines = read(tmp_path).rows()
    assert {(line["model.lr"], line["data.kind"], line["n"]) for line in lines} == {
        (lr, kind, True) for lr in (1e-5, 0.1) for kind in "abc"
    }
    assert len(lines) == read(tmp_path).size == 6
    assert read(tmp_path, run_cap=4).rows() == lines[:4]


def test_arguments_are_those_of_the_real_agent(tmp_path: Path) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    layer = {"config": {"value": "configs/objectives/clip.yaml"}}
    parts = {"parts": {"values": [[], [{"class_path": "x.Y", "init_args": {"n": 1}}]]}}
    sweep = read(
        tmp_path, parameters={**layer, "model.lr": {"values": [1e-5, 0.1]}, "n": {"value": True}, **parts}
    )
    for values in sweep.rows():
        agent = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})[
            "args"
        ]
        flags = ["fit", "-c", "configs/pretrain.yaml", *agent]
        ours = ["fit", *words(sweep.arm(values).layers)]
        assert loaded(ours) == loaded(flags)


def loaded(flags: list[str]) -> list[Any]:
    """What the parser reads: `--config=x` and `-c x` are one."""
    pairs = [flag.removeprefix("--config=") for flag in flags if flag != "-c"]
    return [(key, yaml.safe_load(value)) for key, _, value in (flag.partition("=") for flag in pairs)]


def test_random_draws_keep_to_their_distributions(tmp_path: Path) -> None:
    parameters = {
        "log": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "flat": {"min": -1.0, "max": 1.0},
        "whole": {"min": 1, "max": 3},
        "steps": {"distribution": "q_uniform", "min": 0.0, "max": 0.5, "q": 0.25},
        "choice": {"values": ["often", "never"], "probabilities": [1.0, 0.0]},
    }
    lines = read(tmp_path, method="random", run_cap=400, parameters=parameters).rows()
    assert lines == read(tmp_path, method="random", run_cap=400, parameters=parameters).rows()
    assert len(lines) == 400
    assert lines[:20] == read(tmp_path, method="random", parameters=parameters).rows()
    assert all(1e-4 <= line["log"] <= 1e-1 and -1 <= line["flat"] <= 1 for line in lines)
    assert {line["whole"] for line in lines} == {1, 2, 3} and {line["steps"] for line in lines} == {
        0,
        0.25,
        0.5,
    }
    assert {line["choice"] for line in lines} == {"often"}
    below = sum(line["log"] < 10**-2.5 for line in lines) / 400  # half of the draws, on a log scale
    assert 0.4 < below < 0.6


def test_optuna_draws_from_the_same_ranges(tmp_path: Path) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    parameters = {
        "log": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "flat": {"min": -1.0, "max": 1.0},
        "whole": {"min": 1, "max": 3},
        "even": {"distribution": "q_uniform", "min": 2, "max": 8, "q": 2},
        "choice": {"values": ["a", {"class_path": "x.Y"}]},
    }
    sweep = read(tmp_path, method="bayes", parameters=parameters)
    assert [p.distribution() for p in sweep.parameters] == [
        FloatDistribution(1e-4, 1e-1, log=True),
        FloatDistribution(-1, 1),
        IntDistribution(1, 3),
        IntDistribution(2, 8, step=2),
        CategoricalDistribution(["a", '{"class_path": "x.Y"}']),
    ]
    choice = sweep.parameters[-1]
    assert [choice.restored(choice.stored(value)) for value in choice.choices] == list(choice.choices)
    for row in sweep.rows():
        assert all(
            p.distribution()._contains(p.distribution().to_internal_repr(p.stored(row[p.name])))
            for p in sweep.parameters
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "tpe"}, ["method is 'tpe'", "bayes"]),
        ({"metric": None}, ["metric", "missing"]),
        ({"metric": "val/loss"}, ["metric is 'val/loss'", "name"]),
        ({"metric": {"name": "val/loss", "goal": "least"}}, ["metric.goal", "least", "minimize"]),
        ({"metric": {"name": "test/probe/auroc"}}, ["metric.name", "test/probe/auroc", "val/"]),
        ({"metrics": [METRIC, METRIC]}, ["metrics", "nothing here reads that"]),
        ({"command": ["${program}", "fit"]}, ["command", "args"]),
        ({"command": [*COMMAND, "now"]}, ["command", "'now'", "--key=value"]),
        ({"run_cap": 0}, ["run_cap is 0", "whole number"]),
        ({"parameters": {"model": {"parameters": {"lr": {"value": 1}}}}}, ["'model'", "nested", "flat"]),
        ({"parameters": {"lr": {"min": 0, "max": 1}}}, ["'lr'", "'values'"]),
        ({"parameters": {"lr": {"values": []}}}, ["'lr'", "one value"]),
        ({"parameters": {"lr": 3}}, ["'lr' is 3", "values"]),
        ({"parameters": {"lr": {"values": [1], "weights": [1]}}}, ["'lr'", "weights"]),
        ({"parameters": {"config": {"values": ["clip"]}}}, ["'config'", "clip", "YAML"]),
        (
            {"method": "random", "parameters": {"lr": {"min": 0, "max": 1, "distribution": "beta"}}},
            ["'lr'", "beta"],
        ),
        ({"method": "bayes", "parameters": {"lr": {"mu": 0, "distribution": "normal"}}}, ["'lr'", "mu"]),
        ({"method": "bayes", "parameters": {"lr": {"min": "1e-3", "max": 1}}}, ["'lr'", "1e-3", "1.0e-3"]),
        ({"method": "bayes", "parameters": {"lr": {"min": 2, "max": 1}}}, ["'lr'", "min"]),
        (
            {
                "method": "bayes",
                "parameters": {"lr": {"min": 0, "max": 1.0, "distribution": "log_uniform_values"}},
            },
            ["'lr'", "above 0"],
        ),
        (
            {"method": "bayes", "parameters": {"lr": {"values": [1, 2], "probabilities": [0.1, 0.9]}}},
            ["'lr'", "probabilities", "random"],
        ),
        ({"early_terminate": {"type": "median"}}, ["early_terminate", "median", "hyperband"]),
        ({"early_terminate": {"type": "hyperband"}}, ["early_terminate", "min_iter", "max_iter and s"]),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1.5}},
            ["early_terminate", "eta", "1.5"],
        ),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": False}},
            ["early_terminate", "strict"],
        ),
        ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 2}}, ["early_terminate", "max_iter"]),
        ({"early_terminate": {"type": "hyperband", "min_iters": 2}}, ["early_terminate", "min_iters"]),
    ],
)
def test_a_bad_sweep_file_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"bad\.yaml") as error:
        read(tmp_path, **changes)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("spec", "judged"),
    [
        ({"min_iter": 3}, [3, 9, 27]),
        ({"min_iter": 1, "eta": 2}, [1, 2, 4, 8, 16]),
        ({"max_iter": 27, "s": 2}, [3, 9]),
        ({"max_iter": 27, "s": 9}, [1, 3, 9]),
        ({"max_iter": 4, "s": 2, "eta": 2}, [1, 2]),
    ],
)
def test_runs_are_judged_where_wandb_judges_them(spec: dict[str, int], judged: list[int]) -> None:
    """Of 27 validations: a run that is always worse than another ends at the first of them."""
    import optuna

    termination = EarlyTermination.read({"type": "hyperband", **spec}, "s.yaml")
    assert termination is not None
    ends = []
    for first in (1, *(place + 1 for place in judged)):  # worse from here on, better before
        study = optuna.create_study(pruner=termination.pruner())
        for trial, worse in ((study.ask(), 0), (study.ask(), 1)):
            for step in range(1, 28):
                trial.report(worse if step >= first else -worse, step)
                asked = step <= (termination.last or step)
                if asked and trial.should_prune():
                    ends.append(step)
                    break
    assert ends == judged


def test_recipes_are_scales_in_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs/recipes").mkdir(parents=True)
    (tmp_path / "configs/recipes/mine.yaml").touch()
    assert scales().keys() > {"full", "smoke", "mine"}
    with pytest.raises(ValueError, match="no scale 'nothing'; there are "):
        Plan(SweepFile.read(Path("configs/sweeps/temperature.yaml")).comparison(), "nothing", tmp_path)


def test_a_small_scale_lies_under_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command = [*COMMAND[:-1], "-c", "configs/recipes/sweep.yaml", "${args}"]
    sweep = read(tmp_path, parameters={"data.init_args.loader.batch_size": {"value": 8}}, command=command)
    sizes = []
    for scale in ("full", "smoke"):
        run = Plan(sweep.comparison(), scale, tmp_path).run(sweep.arm(*sweep.rows()), 0)
        data = run.config()["data"]["init_args"]
        sizes.append((data["train_pairs"], data["loader"]["epoch_size"], data["loader"]["batch_size"]))
    assert sizes == [(8000, 8000, 8), (64, 32, 8)]
