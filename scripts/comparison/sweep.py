"""A W&B sweep file without a network: `python -m scripts.comparison.sweep configs/sweeps/….yaml`.

Grid and random sweeps are expanded into arms of a comparison, so that they resume, share their runs among
processes and are recorded as every comparison is. Table and plot go to `results/<sweep>/`. A file of
`configs/recipes/` gives another scale, laid between what the sweep's command names and the parameters:
`--scale=smoke` runs every row in seconds, into `results/<sweep>-smoke/`; of a sweep over a downstream task it
is `--scale=smoke_task`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from scripts.command_line.errors import exit_code
from scripts.comparison.__main__ import add_options, plan_of
from scripts.comparison.definition import Arm, Comparison, Layers, MeasureSettings, Metric, ScaleSettings
from scripts.comparison.engine import Plan, carry_out
from scripts.comparison.tables import write_table
from synthesis.configuration import located, shipped
from synthesis.files import locked, replaced

RECIPES = Path("configs/recipes")
DEFAULT_DRAWS = 20  # for a random sweep without run_cap, which Weights & Biases would never end


def read_sweep(path: Path) -> dict[str, Any]:
    """Read a sweep file and check what we rely on.

    Args:
        path: YAML in the form of W&B's sweep configuration.

    Raises:
        FileNotFoundError: If there is no such file, here or among those shipped.
        ValueError: If it is no sweep of `main.py fit` that can be expanded here; names file, key and remedy.
    """
    sweep: dict[str, Any] = yaml.safe_load(located(path).read_text())
    for key in ("program", "command", "method", "metric", "parameters"):
        if key not in sweep:
            raise ValueError(f"{path}: key '{key}' is missing: add it, as in configs/sweeps/temperature.yaml")
    if not isinstance(sweep["parameters"], dict):
        raise ValueError(
            f"{path}: parameters is {sweep['parameters']}; write a mapping {{name: {{values: […]}}}}"
        )
    goal = sweep["metric"].get("goal") if isinstance(sweep["metric"], dict) else sweep["metric"]
    if goal not in ("minimize", "maximize"):
        raise ValueError(f"{path}: metric.goal is {goal!r}; give minimize or maximize, beside metric.name")
    if sweep["method"] not in ("grid", "random"):
        raise ValueError(
            f"{path}: method is '{sweep['method']}', which needs the W&B server (`make sweep`); "
            "give grid or random"
        )
    if "fit" not in sweep["command"] or "${args}" not in sweep["command"]:
        raise ValueError(f"{path}: command is {sweep['command']}: give fit and ${{args}} among its words")
    for name, parameter in sweep["parameters"].items():
        if "parameters" in parameter:
            raise ValueError(
                f"{path}: parameter '{name}' is nested: write flat names with dots, as in model.init_args.lr"
            )
    return sweep


def rows(sweep: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Return the parameter values of every run of a sweep.

    Args:
        sweep: What `read_sweep` returned.
        path: Its file, for messages.

    Raises:
        ValueError: If a parameter has no values, or a distribution that cannot be drawn from here.
    """
    parameters = sweep["parameters"]
    if sweep["method"] == "grid":
        grid = itertools.product(*(_choices(name, p, path) for name, p in parameters.items()))
        return [dict(zip(parameters, values, strict=True)) for values in grid]
    rng = np.random.default_rng(0)
    draws = range(sweep.get("run_cap", DEFAULT_DRAWS))
    return [{name: _draw(name, p, path, rng) for name, p in parameters.items()} for _ in draws]


def split_command(sweep: Mapping[str, Any], path: Path) -> tuple[Layers, Layers]:
    """Return what a sweep's command lays under and over the parameters of a run.

    Args:
        sweep: What `read_sweep` returned.
        path: Its file, for messages.

    Raises:
        ValueError: If a word of the command is neither ``-c FILE`` nor ``--key=value``.
    """
    words = sweep["command"][sweep["command"].index("fit") + 1 :]
    place = words.index("${args}")
    return _layers(words[:place], path), _layers(words[place + 1 :], path)


def _layers(words: Sequence[str], path: Path) -> Layers:
    files: list[str] = []
    overrides: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if word in ("-c", "--config") and left:
            files.append(left.pop(0))
        elif word.startswith("--") and equals:
            overrides[key] = value
        else:
            raise ValueError(f"{path}: command has {word!r}: write -c FILE or --key=value")
    return Layers(tuple(files), overrides)


def comparison_of(path: Path) -> Comparison:
    """Return the runs of a sweep file as arms of a comparison.

    Raises:
        ValueError: If the file cannot be expanded here; names file, key and remedy.
    """
    sweep = read_sweep(path)
    under, over = split_command(sweep, path)
    arms = {}
    for values in rows(sweep, path):
        name = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
        arms[name] = Arm(name, under + Layers((), values) + over)
    metric = sweep["metric"]
    higher = metric.get("goal", "minimize") == "maximize"
    return Comparison(
        name=path.stem,
        title=path.stem,
        arms=arms,
        reference=next(iter(arms)),
        seeds=(0,),
        scales=scales(),
        metrics=(Metric(metric["name"], metric["name"], higher),),
        budget="none",
        measures=(MeasureSettings("test", "scripts.comparison.measure.TrainingSummary"),),
    )


def scales() -> dict[str, ScaleSettings]:
    """Return the scales of every sweep: ``full``, as its file says, and a recipe laid over that."""
    recipes = {path.name for folder in (RECIPES, shipped(RECIPES)) for path in folder.glob("*.yaml")}
    return {"full": ScaleSettings()} | {
        name.removesuffix(".yaml"): ScaleSettings(Layers((str(RECIPES / name),))) for name in sorted(recipes)
    }


def run_sweep(path: Path, plan: Plan) -> str:
    """Run what has not finished yet, write table and plot, and return the table.

    Args:
        path: The sweep file.
        plan: Its comparison, where it goes, and what runs here.

    Raises:
        SystemExit: With status 1 after all is written, if a run failed.
    """
    failed = carry_out(plan)
    metric, sweep = plan.comparison.metrics[0], read_sweep(path)
    found = {run.arm: run for run in plan.record.read() if metric.key in run.figures}
    lines = [
        {**values, metric.key: found[name].figures[metric.key][0]}
        for name, values in zip(plan.comparison.arms, rows(sweep, path), strict=True)
        if name in found
    ]
    missing = [name for name in plan.comparison.arms if name not in found]
    note = f"{path.name}: {sweep['metric'].get('goal', 'minimize')} {metric.key}, one run a row."
    note += "" if plan.scale == plan.comparison.usual_scale else f" Scale: {plan.scale}."
    note += f" Not run: {'; '.join(missing)}." if missing else ""
    sign = -1 if metric.higher else 1
    plan.out.mkdir(parents=True, exist_ok=True)
    with locked(plan.out, ".table.lock"):
        table = write_table(sorted(lines, key=lambda line: sign * line[metric.key]), plan.out / "table", note)
        _plot(lines, metric.key, plan.out / "plot.png")
    if failed:
        print(table)
        raise SystemExit("failed: " + "; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    return table


def _choices(name: str, parameter: Mapping[str, Any], path: Path) -> list[Any]:
    if "values" in parameter:
        return list(parameter["values"])
    if "value" in parameter:
        return [parameter["value"]]
    raise ValueError(
        f"{path}: parameter '{name}' is {dict(parameter)}: a grid needs 'values'; give {{values: [1, 2]}} or "
        "{value: 1}"
    )


def _draw(name: str, parameter: Mapping[str, Any], path: Path, rng: np.random.Generator) -> Any:
    if "values" in parameter or "value" in parameter:
        choices = _choices(name, parameter, path)
        return choices[rng.choice(len(choices), p=parameter.get("probabilities"))]
    if not {"min", "max"} <= parameter.keys():
        raise ValueError(
            f"{path}: parameter '{name}' is {dict(parameter)}: give 'values', 'value', or 'min' and 'max'"
        )
    low, high = parameter["min"], parameter["max"]
    whole = isinstance(low, int) and isinstance(high, int)
    match parameter.get("distribution", "int_uniform" if whole else "uniform"):
        case "int_uniform":
            return int(rng.integers(low, high, endpoint=True))
        case "uniform":
            return float(rng.uniform(low, high))
        case "log_uniform_values":
            return float(np.exp(rng.uniform(math.log(low), math.log(high))))
        case other:
            raise ValueError(
                f"{path}: parameter '{name}' has distribution '{other}'; "
                "give int_uniform, uniform or log_uniform_values"
            )


def _plot(lines: list[dict[str, Any]], metric: str, path: Path) -> None:
    import matplotlib.pyplot as plt

    names = [name for name in lines[0] if name != metric and len({str(line[name]) for line in lines}) > 1]
    figure, axes = plt.subplots(
        1, max(1, len(names)), figsize=(4.5 * max(1, len(names)), 3.5), squeeze=False, sharey=True
    )
    for axis, name in zip(axes[0], names, strict=False):
        values = [line[name] for line in lines]
        number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        axis.plot(
            values if number else [str(value) for value in values], [line[metric] for line in lines], "o"
        )
        if number and min(values) > 0 and max(values) >= 10 * min(values):
            axis.set_xscale("log")
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(metric)
    figure.tight_layout()
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix[1:])
    plt.close(figure)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        prog="scripts.comparison.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", type=Path, help="the sweep file")
    add_options(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run a sweep, as a command line says."""
    options = parse(args)
    print(run_sweep(options.sweep, plan_of(comparison_of(options.sweep), options)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
