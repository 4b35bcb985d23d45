"""Run a Weights & Biases sweep file without a network: `python -m scripts.sweep_local configs/sweeps/….yaml`.

Grid and random sweeps are expanded here into rows; each row is one in-process call of the command that the
file names. Runs, table and plot go to `results/<sweep>/`. Finished rows are skipped on a second call.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from scripts.experiments import Experiment
from scripts.tables import write_table

DEFAULT_DRAWS = 20  # for a random sweep without run_cap, which Weights & Biases would never end


def read_sweep(path: Path) -> dict[str, Any]:
    """Read a sweep file and check what we rely on.

    Args:
        path: YAML in the form of W&B's sweep configuration.

    Raises:
        ValueError: If it is no sweep of `main.py fit` that can be expanded here; names file, key and remedy.
    """
    sweep: dict[str, Any] = yaml.safe_load(path.read_text())
    for key in ("program", "command", "method", "metric", "parameters"):
        if key not in sweep:
            raise ValueError(f"{path}: key '{key}' is missing: see configs/sweeps/temperature.yaml")
    if sweep["method"] not in ("grid", "random"):
        raise ValueError(
            f"{path}: method is '{sweep['method']}', which needs the W&B server (`make sweep`); "
            "here only grid and random can be expanded"
        )
    if "fit" not in sweep["command"] or "${args}" not in sweep["command"]:
        raise ValueError(f"{path}: command is {sweep['command']}: it must call fit and hold ${{args}}")
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


def arguments(sweep: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments after `fit` for one row, as W&B's agent would write them.

    Args:
        sweep: What `read_sweep` returned.
        values: Value by parameter name.
    """
    command = sweep["command"][sweep["command"].index("fit") + 1 :]
    given = [f"--{name}={value}" for name, value in values.items()]
    return tuple(itertools.chain.from_iterable(given if word == "${args}" else [word] for word in command))


def experiments(path: Path, out: Path) -> list[tuple[dict[str, Any], Experiment]]:
    """Return each row of a sweep file with its experiment.

    Args:
        path: The sweep file.
        out: Directory under which the runs go.
    """
    sweep = read_sweep(path)
    lines = []
    for number, values in enumerate(rows(sweep, path)):
        name = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
        lines.append((values, Experiment(name, arguments(sweep, values), out / "runs" / f"{number:03d}")))
    return lines


def run_sweep(path: Path, out: Path) -> str:
    """Run what has not finished yet, write table and plot, and return the table.

    Args:
        path: The sweep file.
        out: Directory for runs, `table.{md,csv,tex}` and `plot.png`.

    Raises:
        KeyError: If a run does not report the metric that the sweep names.
    """
    metric = read_sweep(path)["metric"]
    lines: list[dict[str, Any]] = []
    for values, experiment in experiments(path, out):
        metrics = experiment.run()["metrics"]
        if metric["name"] not in metrics:
            raise KeyError(
                f"{path}: metric '{metric['name']}' is not among those of {experiment.directory}: "
                f"{sorted(metrics)}"
            )
        lines.append({**values, metric["name"]: float(metrics[metric["name"]])})
    sign = -1 if metric.get("goal") == "maximize" else 1
    ranked = sorted(lines, key=lambda line: sign * line[metric["name"]])
    table = write_table(
        ranked,
        out / "table",
        f"{path.name}: {metric.get('goal', 'minimize')} {metric['name']}, one run a row.",
    )
    _plot(lines, metric["name"], out / "plot.png")
    return table


def _choices(name: str, parameter: Mapping[str, Any], path: Path) -> list[Any]:
    if "values" in parameter:
        return list(parameter["values"])
    if "value" in parameter:
        return [parameter["value"]]
    raise ValueError(f"{path}: parameter '{name}' is {dict(parameter)}: a grid needs 'values' or 'value'")


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
                "drawn here are int_uniform, uniform and log_uniform_values"
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, help="the sweep file")
    parser.add_argument("--out", type=Path, help="where results go (default: results/<name of the file>)")
    return parser.parse_args(args)


if __name__ == "__main__":
    options = parse()
    print(run_sweep(options.sweep, options.out or Path("results") / options.sweep.stem))
