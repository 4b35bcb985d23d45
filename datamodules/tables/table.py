"""Reading the table of a real data set: which columns mean what, and which rows cannot be used."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from datamodules.tables.delimited import read_delimited
from datamodules.tables.parquet_batches import DecompressionBombError, parquet_batches
from datamodules.tables.table_error import MissingFileError as MissingFileError
from datamodules.tables.table_error import TableError as TableError
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
class Columns:
    """Which column of a table means what.

    Attributes:
        image: File of the image, relative to one of the image folders. It is the id of a row: none stands
            twice.
        patient: Patient, for splits and intervals; without it every image counts as a patient of its own.
        view: Projection: "PA", "AP" and words with these ("AP supine"), or anything else for unknown.
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

    def __post_init__(self) -> None:
        """Refuse a column of text that is that of the images, patients, views or splits too.

        Raises:
            ValueError: If there is one.
        """
        for name in ("image", "patient", "view", "split"):
            for text in ("findings", "impression", "report"):
                column = getattr(self, text)
                if column is not None and column == getattr(self, name):
                    raise ValueError(
                        f"columns.{text}={column!r} is that of {name} too: give the column of the {text}"
                    )

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


def read_frame(path: Path, separator: str | None = None, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a CSV or Parquet file as text.

    Args:
        path: The file: Parquet if it ends or begins so, else CSV, packed or not (see `read_delimited`); with
            or without ``.gz``, either form is found by the name of the other.
        separator: See `read_delimited`.
        names: See `read_delimited`.

    Returns:
        A frame of stripped strings, empty where the table has nothing; the index holds the row numbers, from
        1. Lists and other nested cells of a Parquet file stay what they are, see `select`.

    Raises:
        MissingFileError: If the file is missing.
        TableError: If it cannot be parsed, or has no rows.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    place = other if other.is_file() and not path.is_file() else path
    if not place.is_file():
        link = f" It is a link to {os.readlink(place)}, which is not there." if place.is_symlink() else ""
        raise MissingFileError(f"{path}: no such table.{link} Correct the path.")
    if _is_parquet(place):
        try:
            batches = list(parquet_batches(place))
            frame = pa.Table.from_batches(batches, pa.parquet.read_schema(place)).to_pandas()
        except DecompressionBombError as error:
            raise TableError(str(error)) from error
        except (ValueError, OSError, NotImplementedError) as error:  # pyarrow's errors are ValueErrors
            raise TableError(
                f"{place}: cannot be read as a table ({error}); give a CSV or Parquet file."
            ) from error
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()  # columns that were an index when they were written
        repeated = frame.columns[frame.columns.duplicated()]
        if len(repeated):
            raise TableError(f"{place}, column {repeated[0]!r}: stands twice; rename or delete one.")
        frame = frame.rename(columns=lambda name: str(name).strip()).apply(_as_text)
    else:
        frame = read_delimited(place, separator, names)
    if frame.empty:
        raise TableError(f"{place}: has no rows below the header; give a table that lists images.")
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def select(
    frame: pd.DataFrame, path: Path, columns: Sequence[str], listing: str | None = None
) -> pd.DataFrame:
    """Return some columns of a table.

    Args:
        frame: The table.
        path: Its file, for messages.
        columns: The columns.
        listing: The one whose cells may be lists; they become text such as ``['one', 'other']``.

    Raises:
        TableError: If it lacks one, or a cell is no text.
    """
    for column in columns:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, map(str, frame.columns), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {list(frame.columns)}."
            raise TableError(f"{path}: no column {column!r}; {hint} Correct the column map.")
    chosen = frame[list(dict.fromkeys(columns))]
    for column in chosen.columns:
        if set(map(type, chosen[column])) <= {str}:
            continue
        nested = chosen[column][~chosen[column].map(lambda cell: isinstance(cell, str))]
        kind, row = type(nested.iloc[0]).__name__, int(nested.index[0])
        if column != listing or any(not isinstance(cell, list) for cell in nested):
            raise TableError(
                f"{path}, row {row}, column {column!r}, value {str(nested.iloc[0])[:80]!r}: is no text but "
                f"{kind}; write one value into each cell."
            )
        chosen = chosen.assign(**{str(column): chosen[column].map(str)})
    return chosen


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


def bad_cells(frame: pd.DataFrame, columns: Columns) -> list[BadRow]:
    """Find the rows without image or patient, and the images named twice."""
    image = frame[columns.image]
    nameless = "names no image; fill in the file name."
    bad = _where(frame, columns.image, columns.image, image == "", "no image", nameless)
    first = {name: row for row, name in reversed(list(image.items()))}
    for row in frame.index[image.duplicated() & (image != "")]:
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


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() in (".parquet", ".pq") or file.read(4) == b"PAR1"


def _as_text(column: pd.Series) -> pd.Series:
    """Make text of a column, but of nested cells: whole numbers without ".0", missing values empty."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype(object).map({True: "1", False: "0"})
    elif pd.api.types.is_float_dtype(column.dtype):
        column = column.map(lambda x: "" if np.isnan(x) else f"{x:.0f}" if float(x).is_integer() else str(x))
    return column.astype(object).map(_cell)


def _cell(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, (list, tuple, np.ndarray)):
        return [str(v) if isinstance(v, str) else v for v in value]
    if isinstance(value, (dict, bytes)):
        return value
    return "" if pd.isna(value) else str(value).strip()
