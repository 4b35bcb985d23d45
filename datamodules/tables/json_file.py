"""Reading JSON files of a data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.tables.table_error import MissingFileError, TableError


def read_json(path: Path) -> Any:
    """Read a file.

    Args:
        path: The file.

    Raises:
        MissingFileError: If it is missing.
        TableError: If it is no JSON.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file. Correct the path.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: is no JSON ({error}); fetch the file again.") from error


def read_objects(path: Path, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read a file that holds a list of objects.

    Args:
        path: The file.
        keys: What each object must have.

    Raises:
        MissingFileError: If it is missing.
        TableError: If it is no such list, or an object lacks a key.
    """
    return checked_objects(read_json(path), str(path), keys)


def checked_objects(found: Any, place: str, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a list of objects as it is.

    Args:
        found: What a file holds.
        place: File, and key in it, for messages.
        keys: What each object must have.

    Raises:
        TableError: If it is no such list, or an object lacks a key.
    """
    if not isinstance(found, list):
        raise TableError(f"{place}: holds no list of objects, but {type(found).__name__}; fetch it again.")
    for row, entry in enumerate(found, 1):
        if not isinstance(entry, dict):
            raise TableError(f"{place}, row {row}, value {str(entry)[:80]!r}: is no object; correct it.")
        if missing := [key for key in keys if key not in entry]:
            raise TableError(
                f"{place}, row {row}: no key {missing[0]!r}; it has {list(entry)}. Is it the file meant?"
            )
    return found
