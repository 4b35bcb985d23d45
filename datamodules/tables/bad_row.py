"""Rows of a table that cannot be used, or that should be looked at: found, listed, told."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from datamodules.tables.columns import Columns
from synthesis.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

_MISSING = (
    "nan",
    "NaN",
    "NAN",
    "na",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "None",
    "none",
    "null",
    "NULL",
    "NaT",
)


@dataclass(frozen=True)
class BadRow:
    """Why a row cannot be used, or what to look at in it.

    Attributes:
        row: Number of the row; the first below the header is 1.
        image: Its image, as the table has it.
        column: The column at fault.
        value: What stands there.
        kind: What such rows are counted by, e.g. "empty report".
        reason: What is wrong and what to do.
        kept: Whether the row is used all the same: real data sets hold such rows.
    """

    row: int
    image: str
    column: str
    value: str
    kind: str
    reason: str
    kept: bool = False

    def __str__(self) -> str:
        """Return one line for people."""
        return f"row {self.row} ({self.image}), column {self.column!r}, value {self.value!r}: {self.reason}"


def bad_cells(frame: pd.DataFrame, columns: Columns, repeated: bool = False) -> list[BadRow]:
    """Find the rows without image or patient, and the images named twice.

    Args:
        frame: The table.
        columns: Which column means what.
        repeated: Whether an image may stand in several rows.
    """
    image = frame[columns.image]
    nameless = "names no image; fill in the file name."
    bad = _where(frame, columns.image, columns.image, image == "", "no image", nameless)
    first = {name: row for row, name in reversed(list(image.items()))}
    for row in () if repeated else frame.index[image.duplicated() & (image != "")]:
        reason = f"stands in row {first[image[row]]} already; keep one of the two rows."
        bad.append(BadRow(int(row), image[row], columns.image, image[row], "image named twice", reason))
    if columns.patient:
        patient = frame[columns.patient]
        reason = "names no patient; splits need one."
        bad += _where(frame, columns.image, columns.patient, patient == "", "no patient", reason)
        nobody = patient.isin(_MISSING)
        reason = (
            "looks like a missing value; all such rows count as one patient. Leave it empty if it is one."
        )
        bad += _where(frame, columns.image, columns.patient, nobody, "patient without a name", reason, True)
    return bad


def empty_reports(frame: pd.DataFrame, columns: Columns, empty: Sequence[bool]) -> list[BadRow]:
    """Return the rows whose report says nothing.

    Args:
        frame: The table.
        columns: Which column means what.
        empty: Whether that is so, by row.
    """
    reason = "the report is empty, or says nothing; fill it in."
    return _where(frame, columns.image, columns.texts[0], np.array(empty, bool), "empty report", reason)


def write_bad_rows(path: Path, bad: Iterable[BadRow]) -> None:
    """Write rows to a CSV file, sorted; those that are kept too."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([field.name for field in fields(BadRow)])
    writer.writerows(list(asdict(row).values()) for row in sorted(bad, key=lambda b: (b.row, b.column)))
    write_atomically(path, text.getvalue().encode())


def read_bad_rows(path: Path) -> list[BadRow]:
    """Read what `write_bad_rows` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            BadRow(**{**entry, "row": int(entry["row"]), "kept": entry["kept"] == "True"})  # type: ignore[arg-type]
            for entry in csv.DictReader(file)
        ]


def describe_bad_rows(table: Path, bad: Sequence[BadRow], listed: Path) -> str:
    """Say how many rows are bad, and why, with the first of them."""
    kinds = Counter(row.column for row in bad)
    counts = ", ".join(f"{count} in column {column!r}" for column, count in kinds.items())
    return _described(table, "bad rows", counts, bad, listed)


def describe_kept_rows(table: Path, kept: Sequence[BadRow], listed: Path) -> str:
    """Say how many rows are kept that one should look at, and why, with the first of them."""
    counts = ", ".join(f"{count}: {kind}" for kind, count in Counter(row.kind for row in kept).items())
    return _described(table, "rows that are kept, but should be looked at", counts, kept, listed)


def _described(table: Path, what: str, counts: str, rows: Sequence[BadRow], listed: Path) -> str:
    first = "\n".join(f"  {row}" for row in rows[:5])
    number = len({row.row for row in rows})
    return f"{table}: {what}: {number:,} ({counts}); the first are\n{first}\nAll are listed in {listed}."


def _where(
    frame: pd.DataFrame,
    image: str,
    column: str,
    at: pd.Series[bool] | npt.NDArray[np.bool_],
    kind: str,
    reason: str,
    kept: bool = False,
) -> list[BadRow]:
    chosen = frame[at]
    return [
        BadRow(int(row), name, column, value, kind, reason, kept)
        for row, name, value in zip(chosen.index, chosen[image], chosen[column], strict=True)
    ]
