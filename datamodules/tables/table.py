"""Reading the table of a real data set: which columns mean what, and which rows cannot be used."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthesis.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd


class TableError(ValueError):
    """A table cannot be used as it is; the message names file, row or column, value and remedy."""


class MissingFileError(TableError):
    """A file or folder of a data set is not there."""


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
        split: The data set's own split, see `TableImages`.
        regions: Where the findings are, as JSON, see `datamodules.tables.regions`.
    """

    image: str
    patient: str | None = None
    view: str | None = None
    findings: str | None = None
    impression: str | None = None
    report: str | None = None
    split: str | None = None
    regions: str | None = None

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
        kind: What such rows are counted by, e.g. "empty report".
        reason: What is wrong and what to do.
    """

    row: int
    image: str
    column: str
    value: str
    kind: str
    reason: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"row {self.row} ({self.image}), column {self.column!r}, value {self.value!r}: {self.reason}"


def read_frame(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV or Parquet file as text.

    Args:
        path: The file; Parquet if it ends so, else CSV, packed (``.gz``) or not: either form is found by the
            name of the other.
        **options: Further arguments of `pandas.read_csv`.

    Returns:
        A frame of stripped strings, empty where the table has nothing; the index holds the row numbers, from
        1.

    Raises:
        MissingFileError: If the file is missing.
        TableError: If it cannot be parsed, or has no rows.
    """
    import pandas as pd

    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    place = other if other.is_file() and not path.is_file() else path
    if not place.is_file():
        raise MissingFileError(f"{path}: no such table.")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(place)
        else:
            options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", **options}
            frame = pd.read_csv(place, **options)
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        raise TableError(
            f"{place}: cannot be read as a table ({error}); give a CSV or Parquet file."
        ) from error
    if frame.empty:
        raise TableError(f"{place}: has no rows below the header; give a table that lists images.")
    frame = frame.rename(columns=lambda name: str(name).strip()).apply(_as_text)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def select(frame: pd.DataFrame, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a table.

    Args:
        frame: The table.
        path: Its file, for messages.
        columns: The columns.

    Raises:
        TableError: If it lacks one.
    """
    for column in columns:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, map(str, frame.columns), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {list(frame.columns)}."
            raise TableError(f"{path}: no column {column!r}; {hint} Correct the column map.")
    return frame[list(dict.fromkeys(columns))]


def choose_rows(frame: pd.DataFrame, path: Path, where: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows of a table that have one of the values asked for in each column.

    Args:
        frame: The table.
        path: Its file, for messages.
        where: Column → the values whose rows are kept.

    Raises:
        TableError: If it keeps no row.
    """
    for column, values in where.items():
        frame = frame[frame[column].isin(list(values))]
        if frame.empty:
            raise TableError(f"{path}, column {column!r}: no row has one of {list(values)}; correct `where`.")
    return frame


def frame_sha256(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a table: of its columns, row numbers and cells."""
    import pandas as pd

    digest = hashlib.sha256(repr(list(frame.columns)).encode())
    digest.update(pd.util.hash_pandas_object(frame).to_numpy().tobytes())
    return digest.hexdigest()


def bad_cells(frame: pd.DataFrame, columns: Columns, reports: bool) -> list[BadRow]:
    """Find the rows without image or patient, the repeated images and, if asked for, the empty reports."""
    image = frame[columns.image]
    nameless = "names no image; fill in the file name."
    bad = _where(frame, columns.image, columns.image, image == "", "no image", nameless)
    first = {name: row for row, name in reversed(list(image.items()))}
    for row in frame.index[image.duplicated() & (image != "")]:
        reason = f"stands in row {first[image[row]]} already; keep one of the two rows."
        bad.append(BadRow(int(row), image[row], columns.image, image[row], "image named twice", reason))
    if columns.patient:
        empty = frame[columns.patient] == ""
        reason = "names no patient; splits need one."
        bad += _where(frame, columns.image, columns.patient, empty, "no patient", reason)
    if reports:
        empty = (frame[list(columns.texts)] == "").all(axis=1)
        unfilled = "the report is empty; fill it in."
        bad += _where(frame, columns.image, columns.texts[0], empty, "empty report", unfilled)
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


def _where(
    frame: pd.DataFrame, image: str, column: str, at: pd.Series[bool], kind: str, reason: str
) -> list[BadRow]:
    chosen = frame[at]
    return [
        BadRow(int(row), name, column, value, kind, reason)
        for row, name, value in zip(chosen.index, chosen[image], chosen[column], strict=True)
    ]


def _as_text(column: pd.Series) -> pd.Series:
    """Make text of a column of any type: whole numbers without ".0", missing values empty."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column.dtype):
        column = column.map(lambda x: "" if np.isnan(x) else f"{x:.0f}" if float(x).is_integer() else str(x))
    return column.astype(object).where(column.notna(), "").map(str).str.strip()
