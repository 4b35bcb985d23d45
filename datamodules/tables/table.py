"""Reading the table of a real data set: its cells as text, some of its columns, some of its rows."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datamodules.tables.delimited import read_delimited
from datamodules.tables.json_file import read_objects
from datamodules.tables.parquet_batches import DecompressionBombError, parquet_batches
from datamodules.tables.table_error import MissingFileError, TableError

if TYPE_CHECKING:
    import pandas as pd


def read_frame(path: Path, separator: str | None = None, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a CSV, Parquet or JSON file as text.

    Args:
        path: The file: Parquet if it ends or begins so, a JSON list of objects (a row each) if it ends in
            ``.json``, else CSV, packed or not (see `read_delimited`); with or without ``.gz``, either form is
            found by the name of the other.
        separator: See `read_delimited`.
        names: See `read_delimited`.

    Returns:
        A frame of stripped strings, empty where the table has nothing; the index holds the row numbers, from
        1. Lists and other nested cells of a Parquet or JSON file stay what they are, see `select`.

    Raises:
        MissingFileError: If the file is missing.
        TableError: If it cannot be parsed, or has no rows.
    """
    import pandas as pd

    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    place = other if other.is_file() and not path.is_file() else path
    if not place.is_file():
        link = f" It is a link to {os.readlink(place)}, which is not there." if place.is_symlink() else ""
        raise MissingFileError(f"{path}: no such table.{link} Correct the path.")
    if place.suffix.lower() == ".json":
        frame = pd.DataFrame(read_objects(place)).apply(_as_text)
    else:
        frame = _from_parquet(place) if _is_parquet(place) else read_delimited(place, separator, names)
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


def choose_rows(
    frame: pd.DataFrame, path: Path, where: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, str]:
    """Return the rows of a table that have one of the values asked for in each column.

    Args:
        frame: The table.
        path: Its file, for messages.
        where: Column → the values whose rows are kept.

    Returns:
        The rows, and for people how many others there were; "" for none.

    Raises:
        TableError: If it keeps no row.
    """
    before, left_out = len(frame), []
    for column, values in where.items():
        chosen = frame[column].isin(list(values))
        if not chosen.any():
            raise TableError(f"{path}, column {column!r}: no row has one of {list(values)}; correct `where`.")
        if not chosen.all():
            counts = frame[column][~chosen].value_counts()
            named = ", ".join(f"{value!r} ({count:,})" for value, count in counts.head(8).items())
            left_out.append(f"column {column!r}: {named}{' …' if len(counts) > 8 else ''}")
        frame = frame[chosen]
    said = f"`where` keeps {len(frame):,} of {before:,} rows; left out are {'; '.join(left_out)}"
    return frame, said if left_out else ""


def frame_sha256(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a table: of its columns, row numbers and cells."""
    import pandas as pd

    digest = hashlib.sha256(repr(list(frame.columns)).encode())
    digest.update(pd.util.hash_pandas_object(frame).to_numpy().tobytes())
    return digest.hexdigest()


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() in (".parquet", ".pq") or file.read(4) == b"PAR1"


def _from_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        batches = list(parquet_batches(path))
        frame = pa.Table.from_batches(batches, pa.parquet.read_schema(path)).to_pandas()
    except DecompressionBombError as error:
        raise TableError(str(error)) from error
    except (ValueError, OSError, NotImplementedError) as error:  # pyarrow's errors are ValueErrors
        raise TableError(
            f"{path}: cannot be read as a table ({error}); give a CSV or Parquet file."
        ) from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # columns that were an index when they were written
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise TableError(f"{path}, column {repeated[0]!r}: stands twice; rename or delete one.")
    return frame.rename(columns=lambda name: str(name).strip()).apply(_as_text)


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
