"""What comparisons of arms share: equal budgets, figures with intervals, a table and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.experiments import Experiment

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Arm → the results of its runs, one a seed (see `Experiment.run`)."""

SPLIT = "test/zero_shot.split_sha256"
# What an arm may not change: together these say how many steps are taken, and on how many pairs each.
BUDGET = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.limit_train_batches",
    "trainer.accumulate_grad_batches",
    "data.init_args.epoch_pairs",
    "data.init_args.batch_size",
)


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """Return the value under a key with dots; None where there is none."""
    found: Any = config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def check_equal(configs: Mapping[str, Mapping[str, Any]], keys: Sequence[str] = BUDGET) -> None:
    """Refuse arms that do not train alike.

    Args:
        configs: Resolved configuration by name of the arm.
        keys: Keys with dots, whose values have to be equal.

    Raises:
        ValueError: Naming key, arms and values.
    """
    for key in keys:
        values = {name: value_at(config, key) for name, config in configs.items()}
        if len({str(value) for value in values.values()}) > 1:
            raise ValueError(
                f"the arms differ in {key}: {values}. Arms are compared at equal steps: take it out of them"
            )


def layers(*files: Path) -> tuple[str, ...]:
    """Return the arguments that lay YAML files over each other."""
    return tuple(word for file in files for word in ("-c", str(file)))


def find_arms(folder: Path, scale: str) -> tuple[list[Path], Path]:
    """Return the arms of a folder, and the file of a scale in its ``scales/``.

    Raises:
        FileNotFoundError: If there is no such scale or no arm.
    """
    scale_file, arms = folder / "scales" / f"{scale}.yaml", sorted(folder.glob("*.yaml"))
    if not scale_file.exists() or not arms:
        known = sorted(path.stem for path in (folder / "scales").glob("*.yaml"))
        raise FileNotFoundError(f"{scale_file}: no such scale (there are {known}), or no arms in {folder}")
    return arms, scale_file


def run_all(arms: Mapping[str, Sequence[Experiment]]) -> tuple[Results, int, str]:
    """Run what has not finished yet.

    Returns:
        The results, the steps that every run took, and the SHA-256 of the pairs that all were tested on.

    Raises:
        ValueError: If the runs differ in either.
    """
    results = {name: [run.run() for run in runs] for name, runs in arms.items()}
    finished = [run for runs in results.values() for run in runs]
    steps = same("number of steps", {run["name"]: run["global_step"] for run in finished})
    split = same("test split", {run["name"]: value_at(run["details"], SPLIT) for run in finished})
    return results, int(steps), str(split)


def same(what: str, values: Mapping[str, Any]) -> Any:
    """Return the value that all have.

    Raises:
        ValueError: If they differ.
    """
    if len({str(value) for value in values.values()}) > 1:
        raise ValueError(f"the runs differ in {what}, so they cannot be compared: {values}")
    return next(iter(values.values()))


def interval(result: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return the bootstrap interval of a metric in a result, or None where it has none."""
    parts = metric.split("/")
    for cut in range(len(parts) - 1, 0, -1):  # a callback's figures may have slashes in their names
        group, name = "/".join(parts[:cut]), "/".join(parts[cut:])
        if bounds := result["details"].get(group, {}).get("intervals", {}).get(name):
            return float(bounds[0]), float(bounds[1])
    return None


def line(arm: str, runs: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> dict[str, str | float]:
    """Return an arm's row: mean ± sd over seeds, in brackets the widest interval of any seed.

    Args:
        arm: Name of the arm.
        runs: Its results.
        metrics: Column → metric.
    """
    row: dict[str, str | float] = {"arm": arm}
    for column, metric in metrics.items():
        values = [float(run["metrics"][metric]) for run in runs]
        text = f"{statistics.mean(values):.3f}"
        if len(values) > 1:
            text += f" ± {statistics.stdev(values):.3f}"
        if intervals := [bounds for run in runs if (bounds := interval(run, metric))]:
            text += f" [{min(low for low, _ in intervals):.3f}, {max(high for _, high in intervals):.3f}]"
        row[column] = text
    return row


def plot(results: Results, metrics: Mapping[str, str], path: Path) -> None:
    """Draw bars of the means, with seeds and intervals.

    Args:
        results: The results by arm.
        metrics: Label → metric, a panel each.
        path: Picture file.
    """
    import matplotlib.pyplot as plt

    columns = min(len(metrics), 4 if len(metrics) <= 4 else 3)
    rows = -(-len(metrics) // columns)
    size = (3.6 * columns, rows * max(3.6, 1.2 + 0.25 * len(results)))
    figure, grid = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for axis in grid.flat[len(metrics) :]:
        axis.axis("off")
    for axis, (column, metric) in zip(grid.flat, metrics.items(), strict=False):
        for place, runs in enumerate(results.values()):
            values = [float(run["metrics"][metric]) for run in runs]
            axis.barh(place, statistics.mean(values), color="#9ecae1")
            axis.plot(values, [place] * len(values), "k.", markersize=5)
            for run in runs:
                if bounds := interval(run, metric):
                    axis.plot(bounds, [place, place], color="k", alpha=0.35)
        axis.set_xlabel(column)
        axis.set_yticks(range(len(results)), list(results))
        axis.grid(alpha=0.3, axis="x")
    grid[0, 0].invert_yaxis()  # shared: the first arm on top, as in the table
    figure.suptitle("Dots: seeds. Lines: 95 % bootstrap intervals over the test pairs.", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
