"""Reading the table of a real data set: which columns mean what, and which rows cannot be used."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthesis.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd


class TableError(ValueError):
    """A table cannot be used as it is; the message names file, row or column, value and remedy."""


@dataclass(frozen=True)
class Columns:
    """Which column of a table means what.

    Attributes:
        image: File of the image, relative to one of the image folders. It is the id of a row: none stands
            twice.
        patient: Patient, for splits and intervals; without it every image counts as a patient of its own.
        view: Projection: "PA", "AP", or anything else for unknown.
        findings: Text of the FINDINGS section.
        impression: Text of the IMPRESSION section.
        report: Text of a report that is not cut into sections.
    """

    image: str
    patient: str | None = None
    view: str | None = None
    findings: str | None = None
    impression: str | None = None
    report: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that hold report text."""
        return tuple(column for column in (self.findings, self.impression, self.report) if column)

    @property
    def names(self) -> tuple[str, ...]:
        """All columns named here."""
        return tuple(column for column in asdict(self).values() if column)


@dataclass(frozen=True)
class BadRow:
    """Why a row cannot be used.

    Attributes:
        row: Number of the row; the first below the header is 1.
        image: Its image, as the table has it.
        column: The column at fault.
        value: What stands there.
        reason: What is wrong and what to do.
    """

    row: int
    image: str
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        """One line for people."""
        return f"row {self.row} ({self.image}), column {self.column!r}, value {self.value!r}: {self.reason}"


def read_table(path: Path, columns: Sequence[str], where: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Read some columns of a CSV or Parquet file as text; the index holds the row numbers, from 1.

    Args:
        path: The file; Parquet if it ends so, else CSV.
        columns: The columns to read.
        where: Column → the values whose rows are kept.

    Returns:
        A frame of stripped strings, empty where the table has nothing.

    Raises:
        TableError: If the file is missing, cannot be parsed, lacks a column, or keeps no row.
    """
    import pandas as pd

    if not path.is_file():
        raise TableError(f"{path}: no such table; give the CSV or Parquet file that lists the images.")
    wanted = list(dict.fromkeys([*columns, *where]))
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        raise TableError(
            f"{path}: cannot be read as a table ({error}); give a CSV or Parquet file."
        ) from error
    for column in wanted:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, map(str, frame.columns), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {list(frame.columns)}."
            raise TableError(f"{path}: no column {column!r}; {hint} Correct the column map.")
    frame = frame[wanted].apply(_as_text)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    for column, values in where.items():
        frame = frame[frame[column].isin(list(values))]
        if frame.empty:
            raise TableError(f"{path}, column {column!r}: no row has one of {list(values)}; correct `where`.")
    if frame.empty:
        raise TableError(f"{path}: has no rows below the header; give a table that lists images.")
    return frame


def bad_cells(frame: pd.DataFrame, columns: Columns, reports: bool) -> list[BadRow]:
    """Find the rows without image or patient, the repeated images and, if asked for, the empty reports."""
    image = frame[columns.image]
    bad = _where(frame, columns.image, columns.image, image == "", "names no image; fill in the file name.")
    first = {name: row for row, name in reversed(list(image.items()))}
    for row in frame.index[image.duplicated() & (image != "")]:
        reason = f"stands in row {first[image[row]]} already; keep one of the two rows."
        bad.append(BadRow(int(row), image[row], columns.image, image[row], reason))
    if columns.patient:
        empty = frame[columns.patient] == ""
        bad += _where(frame, columns.image, columns.patient, empty, "names no patient; splits need one.")
    if reports:
        empty = (frame[list(columns.texts)] == "").all(axis=1)
        bad += _where(frame, columns.image, columns.texts[0], empty, "the report is empty; fill it in.")
    return bad


def write_bad_rows(path: Path, bad: Iterable[BadRow]) -> None:
    """Write rows to a CSV file, sorted."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([field.name for field in fields(BadRow)])
    writer.writerows(list(asdict(row).values()) for row in sorted(bad, key=lambda b: (b.row, b.column)))
    write_atomically(path, text.getvalue().encode())


def read_bad_rows(path: Path) -> list[BadRow]:
    """Read what `write_bad_rows` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [BadRow(**{**entry, "row": int(entry["row"])}) for entry in csv.DictReader(file)]  # type: ignore[arg-type]


def describe_bad_rows(table: Path, bad: Sequence[BadRow], listed: Path) -> str:
    """Say how many rows are bad, and why, with the first of them."""
    rows = len({row.row for row in bad})
    kinds = Counter(row.column for row in bad)
    first = "\n".join(f"  {row}" for row in bad[:5])
    counts = ", ".join(f"{count} in column {column!r}" for column, count in kinds.items())
    return f"{table}: bad rows: {rows:,} ({counts}); the first are\n{first}\nAll are listed in {listed}."


def _where(frame: pd.DataFrame, image: str, column: str, at: pd.Series[bool], reason: str) -> list[BadRow]:
    chosen = frame[at]
    return [
        BadRow(int(row), name, column, value, reason)
        for row, name, value in zip(chosen.index, chosen[image], chosen[column], strict=True)
    ]


def _as_text(column: pd.Series) -> pd.Series:
    """Make text of a column of any type: whole numbers without ".0", missing values empty."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column.dtype):
        column = column.map(lambda x: "" if np.isnan(x) else f"{x:.0f}" if float(x).is_integer() else str(x))
    return column.astype(object).where(column.notna(), "").map(str).str.strip()
