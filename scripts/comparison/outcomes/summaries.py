"""``summary.csv``: the plain numbers of the arms."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from scripts.comparison.statistics import Summary
from synthesis.files import write_atomically

_SUMMARY = ("arm", "metric", "seeds", "mean", "sd", "low", "high")


def write_summaries(summaries: Mapping[str, Mapping[str, Summary]], path: Path) -> None:
    """Write the summaries of a comparison.

    Args:
        summaries: Name of the arm → column → summary.
        path: The CSV file.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_SUMMARY)
    for name, columns in summaries.items():
        for column, found in columns.items():
            writer.writerow([name, column, found.count, found.mean, found.deviation, found.low, found.high])
    write_atomically(path, text.getvalue())


def read_summaries(path: Path) -> dict[str, dict[str, Summary]]:
    """Read ``summary.csv``: all that is left of comparisons whose runs were not recorded one by one.

    Raises:
        ValueError: Naming file and line if it is not such a file.
    """
    found: dict[str, dict[str, Summary]] = {}
    if not path.exists():
        return found
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _SUMMARY:
            raise ValueError(f"{path}: columns are {reader.fieldnames}, wanted {list(_SUMMARY)}")
        for row in reader:
            try:
                sd, low, high = (float(row[key]) if row[key] else None for key in ("sd", "low", "high"))
                summary = Summary(int(row["seeds"]), float(row["mean"]), sd, low, high)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {row} ({error}). Correct the line"
                ) from error
            found.setdefault(row["arm"], {})[row["metric"]] = summary
    return found
