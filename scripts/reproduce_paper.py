"""The paper's comparison in one command: `python -m scripts.reproduce_paper --scale full|smoke`.

Every file in `configs/reproduce/` is one arm: what it changes in `configs/pretrain.yaml`. All arms run with
the same seeds, take equally many steps, and are tested, at their last checkpoint, on the same clean, balanced
pairs. Table and plot go to `results/paper/`. Finished runs are skipped, so an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.experiments import Experiment
from scripts.tables import write_table

BASE = Path("configs/pretrain.yaml")
ARMS = Path("configs/reproduce")
HELD_OUT = ARMS / "evaluation" / "held_out.yaml"
METRICS = {
    "zero-shot AUROC": "test/zero_shot/auroc_macro",
    "probe AUROC": "test/probe/auroc_macro",
    "R@10 image→report": "test/retrieval/i2t_hit@10",
    "R@10 report→image": "test/retrieval/t2i_hit@10",
}
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


def check_equal_steps(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse arms that do not train alike.

    Args:
        configs: Resolved configuration by name of the arm.

    Raises:
        ValueError: Naming key, arms and values.
    """
    for key in BUDGET:
        values = {name: value_at(config, key) for name, config in configs.items()}
        if len({str(value) for value in values.values()}) > 1:
            raise ValueError(
                f"the arms differ in {key}: {values}. Arms are compared at equal steps: take it out of them"
            )


def experiments(scale: str, seeds: Sequence[int], out: Path) -> dict[str, list[Experiment]]:
    """Return the runs of each arm, one a seed.

    Args:
        scale: Name of a file in `configs/reproduce/scales`: how long every arm trains.
        seeds: Values of `--seed_everything`.
        out: Directory under which the runs go.

    Raises:
        FileNotFoundError: If there is no such scale or no arm.
    """
    scale_file = ARMS / "scales" / f"{scale}.yaml"
    arms = sorted(ARMS.glob("*.yaml"))
    if not scale_file.exists() or not arms:
        known = sorted(path.stem for path in (ARMS / "scales").glob("*.yaml"))
        raise FileNotFoundError(f"{scale_file}: no such scale (there are {known}), or no arms in {ARMS}")
    runs = out / "runs"
    test = _layers(BASE, HELD_OUT, scale_file)
    return {
        arm.stem: [
            Experiment(
                name=f"{arm.stem}, seed {seed}",
                args=(
                    *_layers(BASE, arm, scale_file),
                    f"--seed_everything={seed}",
                    f"--data.init_args.artifacts_dir={runs / 'artifacts'}",
                ),
                directory=runs / f"{arm.stem}-{seed}",
                test=test,
            )
            for seed in seeds
        ]
        for arm in arms
    }


def _layers(*files: Path) -> tuple[str, ...]:
    return tuple(word for file in files for word in ("-c", str(file)))


def reproduce(scale: str, seeds: Sequence[int], out: Path) -> str:
    """Run what has not finished yet, write table and plot, and return the table.

    Args:
        scale: Name of a file in `configs/reproduce/scales`.
        seeds: At least one seed.
        out: Directory for runs, `table.{md,csv,tex}` and `plot.png`.

    Raises:
        ValueError: If the arms are not trained for equally many steps, or not tested on the same pairs.
    """
    arms = experiments(scale, seeds, out)
    check_equal_steps({name: runs[0].config() for name, runs in arms.items()})
    results = {name: [run.run() for run in runs] for name, runs in arms.items()}
    finished = [run for runs in results.values() for run in runs]
    steps = _same("number of steps", {run["name"]: run["global_step"] for run in finished})
    split = _same("test split", {run["name"]: value_at(run["details"], SPLIT) for run in finished})
    note = (
        f"`make reproduce-paper SCALE={scale}`: {len(seeds)} seeds, {steps} steps each, last checkpoint, all "
        f"on the same clean balanced pairs (SHA-256 {str(split)[:12]}…). Mean ± sd over seeds; in brackets "
        "the widest 95 % bootstrap bounds over the test pairs in any seed."
    )
    table = write_table([_line(name, runs) for name, runs in results.items()], out / "table", note)
    _plot(results, out / "plot.png")
    return table


def _same(what: str, values: Mapping[str, Any]) -> Any:
    if len({str(value) for value in values.values()}) > 1:
        raise ValueError(f"the runs differ in {what}, so they cannot be compared: {values}")
    return next(iter(values.values()))


def interval(result: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return the bootstrap interval of a metric in a result, or None where it has none."""
    group, _, name = metric.rpartition("/")
    bounds = result["details"].get(group, {}).get("intervals", {}).get(name)
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def _line(arm: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, str | float]:
    line: dict[str, str | float] = {"arm": arm}
    for column, metric in METRICS.items():
        values = [float(run["metrics"][metric]) for run in runs]
        text = f"{statistics.mean(values):.3f}"
        if len(values) > 1:
            text += f" ± {statistics.stdev(values):.3f}"
        if intervals := [bounds for run in runs if (bounds := interval(run, metric))]:
            text += f" [{min(low for low, _ in intervals):.3f}, {max(high for _, high in intervals):.3f}]"
        line[column] = text
    return line


def _plot(results: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(METRICS), figsize=(3 * len(METRICS), 3.6), sharey=True)
    for axis, (column, metric) in zip(axes, METRICS.items(), strict=True):
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
    axes[0].invert_yaxis()  # shared: the first arm on top, as in the table
    figure.suptitle("Dots: seeds. Lines: 95 % bootstrap intervals over the test pairs.", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="full", help="a file in configs/reproduce/scales (default: full)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--out", type=Path, help="where results go (default: results/paper, or -<scale> of it)"
    )
    return parser.parse_args(args)


if __name__ == "__main__":
    options = parse()
    default = Path("results/paper" if options.scale == "full" else f"results/paper-{options.scale}")
    print(reproduce(options.scale, options.seeds, options.out or default))
