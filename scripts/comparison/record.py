"""The figures of all runs of a comparison: one file that runs of several days and machines share."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.comparison.definition import Arm
from scripts.comparison.draws import Draws
from synthesis.files import locked, write_atomically

if TYPE_CHECKING:
    from scripts.comparison.measure import Measured

Figure = tuple[float, float | None, float | None]
"""A value and the bounds of its bootstrap interval, where it has one."""

FACTS = ("steps", "samples", "minutes", "threads", "precision", "commit", "date", "split_sha256")
COLUMNS = ("arm", "seed", *FACTS, "metric", "value", "low", "high", "check")


@dataclass(frozen=True)
class RunRecord:
    """What a comparison keeps of a run.

    Attributes:
        arm: Name of the arm.
        seed: Value of `--seed_everything`.
        facts: Some of `FACTS`, as texts: optimizer steps, training samples, minutes and threads of training,
            precision, commit and date of training, SHA-256 of the test split.
        figures: Key of the metric → value and interval.
        draws: The figures in each resample of the test patients, as far as there are any.
    """

    arm: str
    seed: int
    facts: Mapping[str, str]
    figures: Mapping[str, Figure]
    draws: Draws = field(default_factory=Draws, compare=False)

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{self.arm}, seed {self.seed}"


def figures_of(measured: Measured, prefix: str, keys: Iterable[str]) -> tuple[dict[str, Figure], Draws, str]:
    """Take from what was measured the figures that a comparison shows.

    Args:
        measured: All figures.
        prefix: What begins the keys of this measure, such as ``nih:``; may be empty.
        keys: Keys of the comparison's metrics; those of other measures are left out.

    Returns:
        The figures and their draws by key, and the SHA-256 of the test split of the first; what was not
        measured is left out.
    """
    figures: dict[str, Figure] = {}
    names: dict[str, str] = {}
    split = ""
    for key in keys:
        name = key.removeprefix(prefix)
        if (prefix and name == key) or (not prefix and ":" in key) or measured.metrics.get(name) is None:
            continue
        entry = _entry(measured.details, name, "intervals")
        low, high = entry if entry is not None else (None, None)
        figures[key] = (float(measured.metrics[name]), low, high)
        names[name] = key
        split = split or str(_entry(measured.details, name, "split_sha256") or "")
    return figures, measured.draws.only(names), split


def _entry(details: Mapping[str, Any], name: str, key: str) -> Any:
    """Return what stands in the details of a figure; a callback's figures may have slashes in their names."""
    parts = name.split("/")
    for cut in range(len(parts) - 1, 0, -1):
        group, rest = "/".join(parts[:cut]), "/".join(parts[cut:])
        found = details.get(group, {}).get(key)
        if key == "intervals":
            found = (found or {}).get(rest)
        if found:
            return found
    return None


def _check(cells: Sequence[Any]) -> str:
    """Return the checksum of the cells of a line, in 8 hexadecimal digits."""
    return f"{zlib.crc32(json.dumps(['' if cell is None else str(cell) for cell in cells]).encode()):08x}"


class Record:
    """``runs.csv``, a line a run and metric, and ``draws/<arm>-<seed>.npz`` beside it.

    Every change reads the file again, under a lock: what other processes have added meanwhile stays.

    Args:
        path: The CSV file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[RunRecord]:
        """Return the runs, by arm and seed; none where there is no file.

        Raises:
            ValueError: Naming file, row and column if it is not such a file.
        """
        if not self.path.exists():
            return []
        facts: dict[tuple[str, int], dict[str, str]] = {}
        figures: dict[tuple[str, int], dict[str, Figure]] = {}
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            needed = {"arm", "seed", "metric", "value", "low", "high"}
            if not needed <= set(columns) <= set(COLUMNS):
                raise ValueError(f"{self.path}: columns are {list(columns)}, wanted {list(COLUMNS)}")
            for row in reader:
                try:
                    run = row["arm"], int(row["seed"])
                    low, high = (float(row[bound]) if row[bound] else None for bound in ("low", "high"))
                    figure = (float(row["value"]), low, high)
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"{self.path}, line {reader.line_num}: {row} ({error}). Correct the line, or take "
                        "the run out and run it again"
                    ) from error
                self._check_line(row, reader.line_num)
                facts.setdefault(run, {name: row[name] for name in FACTS if row.get(name)})
                figures.setdefault(run, {})[row["metric"]] = figure
        return [
            RunRecord(arm, seed, facts[arm, seed], found, Draws.read(self._draws(arm, seed)))
            for (arm, seed), found in figures.items()
        ]

    def _check_line(self, row: Mapping[str, Any], line: int) -> None:
        """Refuse a line that is not what was written.

        Those of earlier versions have no check, nor those of which somebody has emptied it.
        """
        stated = row.get("check", "")  # None where the line is cut short
        if stated == "":
            return
        cells = [row.get(name) for name in COLUMNS[:-1]]
        if stated != _check(cells):
            raise ValueError(
                f"{self.path}, line {line}: not what was written there: {row}. Take its run out and run it "
                "again; empty the cell 'check' if you changed the line yourself"
            )

    def add(self, run: RunRecord) -> None:
        """Put a run into the file, in place of an earlier one of its arm and seed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent, f".{self.path.name}.lock"):
            others = [other for other in self.read() if (other.arm, other.seed) != (run.arm, run.seed)]
            run.draws.write(self._draws(run.arm, run.seed))
            self._write([*others, run])

    def _draws(self, arm: str, seed: int) -> Path:
        return self.path.parent / "draws" / f"{Arm(arm).slug}-{seed}.npz"

    def _write(self, runs: Sequence[RunRecord]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for run in sorted(runs, key=lambda run: (run.arm, run.seed)):
            facts = [run.facts.get(name, "") for name in FACTS]
            for metric, (value, low, high) in run.figures.items():
                cells = [run.arm, run.seed, *facts, metric, value, low, high]
                writer.writerow([*cells, _check(cells)])
        write_atomically(self.path, text.getvalue())
