"""The figures of one run in a comparison, kept in a file that runs of several days or machines share."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figure = tuple[float, float | None, float | None]
"""A value and the bounds of its bootstrap interval, where it has one."""

SPLIT = ("test/zero_shot", "split_sha256")
COLUMNS = ("arm", "seed", "steps", "precision", "split_sha256", "metric", "value", "low", "high")


@dataclass(frozen=True)
class RunRecord:
    """What a comparison keeps of a run.

    Attributes:
        arm: What differs between the runs that are compared.
        seed: Value of `--seed_everything`.
        steps: Optimizer steps taken.
        precision: Value of `--trainer.precision`.
        split_sha256: Of the pairs it was tested on.
        figures: Metric, as in ``summary.json`` → value and interval.
    """

    arm: str
    seed: int
    steps: int
    precision: str
    split_sha256: str
    figures: Mapping[str, Figure]

    @classmethod
    def of(
        cls, arm: str, config: Mapping[str, Any], result: Mapping[str, Any], metrics: Iterable[str]
    ) -> RunRecord:
        """Take from a run's resolved configuration and result (see `Experiment`) what is compared.

        Raises:
            KeyError: If the run measured no such metric.
        """
        group, key = SPLIT
        return cls(
            arm=arm,
            seed=int(config["seed_everything"]),
            steps=int(result["global_step"]),
            precision=str(config["trainer"]["precision"]),
            split_sha256=str(result["details"][group][key]),
            figures={metric: _figure(result, metric) for metric in metrics},
        )


def _figure(result: Mapping[str, Any], metric: str) -> Figure:
    value = float(result["metrics"][metric])
    parts = metric.split("/")
    for cut in range(len(parts) - 1, 0, -1):  # a callback's figures may have slashes in their names
        group, name = "/".join(parts[:cut]), "/".join(parts[cut:])
        if bounds := result["details"].get(group, {}).get("intervals", {}).get(name):
            return value, float(bounds[0]), float(bounds[1])
    return value, None, None


def read_runs(path: Path) -> list[RunRecord]:
    """Read the runs of a file that `write_runs` wrote, in its order; none where there is no file.

    Raises:
        ValueError: Naming file, row and column if it is not such a file.
    """
    if not path.exists():
        return []
    runs: dict[tuple[str, int, int, str, str], dict[str, Figure]] = {}
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: columns are {reader.fieldnames}, wanted {list(COLUMNS)}")
        for row in reader:
            try:
                run = (row["arm"], int(row["seed"]), int(row["steps"]), row["precision"], row["split_sha256"])
                low, high = (float(row[bound]) if row[bound] else None for bound in ("low", "high"))
                figure = (float(row["value"]), low, high)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {row} ({error}). Mend the line, or take the run out "
                    "and run it again"
                ) from error
            runs.setdefault(run, {})[row["metric"]] = figure
    return [RunRecord(*run, figures=figures) for run, figures in runs.items()]


def write_runs(path: Path, runs: Iterable[RunRecord]) -> None:
    """Write one line a run and metric, sorted by arm and seed; the file is there only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for run in sorted(runs, key=lambda run: (run.arm, run.seed)):
            head = (run.arm, run.seed, run.steps, run.precision, run.split_sha256)
            for metric, (value, low, high) in run.figures.items():
                writer.writerow([*head, metric, value, low, high])
    partial.rename(path)
