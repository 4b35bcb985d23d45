"""What the columns of tables of radiographs are usually called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.tables.table_error import TableError

USUAL: Mapping[str, tuple[str, ...]] = {
    "image": (
        "image",
        "image path",
        "image index",
        "image id",
        "image name",
        "image file",
        "img path",
        "img",
        "path",
        "path to image",
        "filepath",
        "file path",
        "filename",
        "file name",
        "file",
        "dicom id",
        "dicom path",
        "dicom",
    ),
    "patient": ("patient id", "patient", "patientid", "subject id", "subject", "deid patient id", "pid"),
    "view": ("view position", "viewposition", "view", "ap/pa", "projection"),
    "findings": ("findings", "section findings", "findings section"),
    "impression": ("impression", "section impression", "impression section", "conclusion"),
    "report": ("report", "report text", "radiology report", "text", "caption"),
    "split": ("split", "fold", "subset", "partition"),
}
"""Meaning of a column (`datamodules.Columns`) → its usual names, the surest first; "_" and "-" are blanks."""


def plain_name(column: str) -> str:
    """Return the name of a column in lower case, its words parted by single blanks."""
    return re.sub(r"[\s_\-.]+", " ", column).strip().lower()


def find_column(meaning: str, columns: Sequence[str]) -> str | None:
    """Return the column that by its name has a meaning, or None.

    Args:
        meaning: A key of `USUAL`.
        columns: Those of a table.
    """
    plain = {plain_name(column): column for column in reversed(columns)}
    return next((plain[name] for name in USUAL[meaning] if name in plain), None)


def guess_column(meaning: str, columns: Sequence[str], table: Path) -> str:
    """Return the column that by its name has a meaning.

    Args:
        meaning: A key of `USUAL`.
        columns: Those of the table.
        table: Its file, for messages.

    Raises:
        TableError: If no column has a usual name.
    """
    found = find_column(meaning, columns)
    if found is None:
        raise TableError(
            f"{table}: which column holds the {meaning}? It has {list(columns)}; name it, or call it "
            f"{USUAL[meaning][0]!r}."
        )
    return found
