"""Reading CSV files so that no cell changes its meaning or its column.

pandas' own reader takes the first column of a table whose rows have a cell more than its header for the
index, fills up rows that are too short, and renames the second of two columns of one name.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MOST = 2 << 30  # bytes that a packed table may unpack to: a small file could fill the memory
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # byte order marks; that of UTF-8 is dropped
_SEPARATORS = (";", "\t", "|")  # taken where the first line has no comma
_NO_TABLES = {b"PK": "an Excel workbook or ZIP archive", b"\xd0\xcf\x11\xe0": "an Excel workbook"}
_LONGEST_CELL = 10_000_000


def read_delimited(
    path: Path, separator: str | None = None, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a CSV file, packed (``.gz``, ``.bz2``, ``.xz``) or not, as text.

    Every cell stays the text that it is, stripped: "NA", "nan" and "007" too.

    Args:
        path: The file: UTF-8, or UTF-16 with its mark.
        separator: Between the cells; None takes the comma or, where the header has none, ";", tab or "|".
        names: Names of the columns, where the file has no header.

    Raises:
        TableError: If it is no text, a row has more or fewer cells than the header, or two columns have the
            same name.
    """
    import pandas as pd

    text = _text(path)
    if separator is None:
        first = text.split("\n", 1)[0]
        separator = "," if "," in first else next((s for s in _SEPARATORS if s in first), ",")
    records = _records(text, separator, path)
    try:
        header = list(names) if names is not None else next(records, (0, []))[1]
        rows = list(records)
    except csv.Error as error:
        raise TableError(
            f"{path}: cannot be read as a table ({error}); close the quotation mark that is open, if one is"
        ) from error
    if not header:
        raise TableError(f"{path}: cannot be read as a table (it is empty); give a CSV or Parquet file.")
    cells = _aligned(rows, header, path)
    return pd.DataFrame(cells, columns=_unique(header, path), dtype=object)


def _text(path: Path) -> str:
    """Return the content of a file, unpacked and decoded."""
    try:
        opener = _OPENERS.get(path.suffix.lower())
        if opener is None:
            content = path.read_bytes()
        else:
            with opener(path, "rb") as file:
                content = file.read(_MOST + 1)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise TableError(
            f"{path}: cannot be read as a table ({error}); fetch it again, or correct its rights."
        ) from error
    if opener is not None and len(content) > _MOST:
        raise TableError(
            f"{path}: unpacks to more than {_MOST >> 30} GiB; unpack it, or cut it into several tables."
        )
    for start, what in _NO_TABLES.items():
        if content.startswith(start):
            raise TableError(f"{path}: is {what}, no table as text; save it as CSV (UTF-8).")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            f"{path}, line {line}: cannot be read as a table (byte {content[error.start]:#04x} is no "
            f"{'UTF-8' if encoding == 'utf-8-sig' else 'UTF-16'}); save it as UTF-8."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError(
            f"{path}, line {line}: cannot be read as a table (it holds a NUL byte); fetch it again, or take "
            f"the byte out."
        )
    return text


def _records(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line that each record ends on, and its cells; blank lines are passed over."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for record in reader:
        if record:
            yield reader.line_num, [cell.strip() for cell in record]


def _aligned(rows: list[tuple[int, list[str]]], header: Sequence[str], path: Path) -> list[list[str]]:
    """Return the cells of all rows, as many as the header has."""
    count = len(header)
    if rows and all(len(cells) == count + 1 and not cells[-1] for _, cells in rows):
        return [cells[:-1] for _, cells in rows]  # every line ends with a separator, the header does not
    for number, (line, cells) in enumerate(rows, 1):
        if len(cells) != count:
            raise TableError(
                f"{path}, row {number} (line {line}): has {len(cells)} cells, the header has {count}: "
                f"{','.join(cells)[:100]!r}. Put cells that hold a separator in quotation marks, or complete "
                f"the row."
            )
    return [cells for _, cells in rows]


def _unique(header: Sequence[str], path: Path) -> list[str]:
    """Return the names of the columns; those without one are numbered."""
    named = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    for i, name in enumerate(named):
        if name in named[:i]:
            raise TableError(
                f"{path}, column {name!r}: stands twice in the header (columns {named.index(name) + 1} and "
                f"{i + 1}); rename or delete one."
            )
    return named
