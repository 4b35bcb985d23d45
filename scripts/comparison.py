"""What comparisons of arms share: equal budgets, figures with intervals, a table and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.experiments import Experiment
from scripts.run_record import RunRecord, read_runs, write_runs

Results = Mapping[str, Sequence[RunRecord]]
"""Arm → its runs, one a seed."""

# What an arm may not change: together these say how many steps are taken, and on how many pairs each.
BUDGET = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.limit_train_batches",
    "trainer.accumulate_grad_batches",
    "data.init_args.loader.epoch_size",
    "data.init_args.loader.batch_size",
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


def run_all(
    arms: Mapping[str, Sequence[Experiment]], metrics: Sequence[str], record: Path
) -> dict[str, list[RunRecord]]:
    """Run what has not finished yet, and put the figures of each run into a file as it finishes.

    Args:
        arms: Arm → its runs, one a seed.
        metrics: What is compared.
        record: The file. Runs that it holds and that are not asked for, such as another machine's, are
            kept and compared as well.

    Returns:
        All runs of the file by arm and seed.

    Raises:
        ValueError: If the runs differ in steps, those of a seed in their test split, or one lacks a metric.
    """
    for arm, experiments in arms.items():
        for experiment in experiments:
            run = RunRecord.of(arm, experiment.config(), experiment.run(), metrics)
            others = [other for other in read_runs(record) if (other.arm, other.seed) != (run.arm, run.seed)]
            write_runs(record, [*others, run])
    runs = read_runs(record)
    names = {f"{run.arm}, seed {run.seed}": run for run in runs}
    for name, run in names.items():
        if missing := set(metrics) - set(run.figures):
            raise ValueError(f"{record}: {name} lacks {sorted(missing)}: run it again, or take its lines out")
    same(f"number of steps in {record}", {name: run.steps for name, run in names.items()})
    for seed in {run.seed for run in runs}:  # the arms of a seed: other seeds may be of other days and code
        splits = {name: run.split_sha256 for name, run in names.items() if run.seed == seed}
        same(f"test split in {record}", splits)
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def describe(results: Results) -> str:
    """Return in words the seeds, steps, arithmetic and test pairs of the runs."""
    runs = [run for arm in results.values() for run in arm]
    counts = sorted({len(arm) for arm in results.values()})
    seeds = (
        "1 seed" if counts == [1] else " to ".join(map(str, counts[:: max(1, len(counts) - 1)])) + " seeds"
    )
    kinds = sorted({(run.seed, run.precision, run.split_sha256[:12]) for run in runs})
    made = "; ".join(f"seed {seed} in {precision}, SHA-256 {split}…" for seed, precision, split in kinds)
    return (
        f"{seeds}, {runs[0].steps} steps each, last checkpoint, all arms of a seed tested on the same "
        f"held-out pairs ({made})"
    )


def same(what: str, values: Mapping[str, Any]) -> Any:
    """Return the value that all have.

    Raises:
        ValueError: If they differ.
    """
    if len({str(value) for value in values.values()}) > 1:
        raise ValueError(f"the runs differ in {what}, so they cannot be compared: {values}")
    return next(iter(values.values()))


def line(arm: str, runs: Sequence[RunRecord], metrics: Mapping[str, str]) -> dict[str, str | float]:
    """Return an arm's row: mean ± sd over seeds, in brackets the widest interval of any seed.

    Args:
        arm: Name of the arm.
        runs: Its runs.
        metrics: Column → metric.
    """
    row: dict[str, str | float] = {"arm": arm}
    for column, metric in metrics.items():
        figures = [run.figures[metric] for run in runs]
        values = [value for value, _, _ in figures]
        text = f"{statistics.mean(values):.3f}"
        if len(values) > 1:
            text += f" ± {statistics.stdev(values):.3f}"
        lows = [low for _, low, _ in figures if low is not None]
        highs = [high for _, _, high in figures if high is not None]
        if lows:
            text += f" [{min(lows):.3f}, {max(highs):.3f}]"
        row[column] = text
    return row


def plot(results: Results, metrics: Mapping[str, str], path: Path) -> None:
    """Draw bars of the means, with seeds and intervals.

    Args:
        results: The runs by arm.
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
            values = [run.figures[metric][0] for run in runs]
            axis.barh(place, statistics.mean(values), color="#9ecae1")
            axis.plot(values, [place] * len(values), "k.", markersize=5)
            for run in runs:
                _, low, high = run.figures[metric]
                if low is not None and high is not None:
                    axis.plot((low, high), [place, place], color="k", alpha=0.35)
        axis.set_xlabel(column)
        axis.set_yticks(range(len(results)), list(results))
        axis.grid(alpha=0.3, axis="x")
    grid[0, 0].invert_yaxis()  # shared: the first arm on top, as in the table
    figure.suptitle("Dots: seeds. Lines: 95 % bootstrap intervals over the test pairs.", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
