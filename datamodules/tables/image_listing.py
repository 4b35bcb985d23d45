"""Which images are meant by folders, patterns, tables and files."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.tables.column_names import guess_column
from datamodules.tables.packed import PackedStrings
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import MissingFileError

TABLES = (".csv", ".csv.gz", ".parquet", ".pq")
"""How the name of a table ends."""


@dataclass(frozen=True)
class ImageListing:
    """Images by name, in the order in which they were asked for.

    Attributes:
        names: As in the table, or relative to the folder where one folder was given, or else as the path was
            typed. None stands twice.
        paths: Their files; "" where a table names one that was not found.
        repeated: How many were asked for again, and are listed once.
    """

    names: PackedStrings
    paths: PackedStrings
    repeated: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    def sha256(self) -> str:
        """SHA-256 of the names in their order, by which processes see that they list the same."""
        digest = hashlib.sha256()
        for i in range(len(self)):
            digest.update(self.names[i].encode() + b"\0")
        return digest.hexdigest()


def list_images(
    inputs: Sequence[str], column: str | None = None, image_root: str | Path | None = None
) -> ImageListing:
    """List images.

    Of a folder every file is listed, those in folders under it too, but for hidden ones: what is no image is
    found out by reading it, for DICOM files have any name.

    Args:
        inputs: Folders, patterns (``scans/**/*.dcm``), tables (CSV, Parquet) and files, mixed as one likes.
        column: The column of the tables that names the image; None looks for a usual name.
        image_root: The folder that names in tables are relative to; None takes the table's own. What is not
            found there by its path is looked for by its file name in the folders under it.

    Raises:
        MissingFileError: If a folder or pattern holds no file, or nothing of what was typed exists.
        TableError: If a table cannot be read, or its column of images is not known.
    """
    given = [str(given) for given in inputs]
    if not given:
        raise MissingFileError("no images are given; name a folder, a pattern, a table or files.")
    if not any(os.path.lexists(entry) or glob.has_magic(entry) for entry in given):
        raise MissingFileError(f"{', '.join(given)}: no such file or folder; correct the path.")
    names, paths, repeated, seen = list[str](), list[str](), 0, set[int]()
    for name, path in (
        pair for entry in given for pair in _listed(entry, len(given) == 1, column, image_root)
    ):
        place = hash(os.path.abspath(path) if path else name)  # of a million paths, numbers are kept
        if place in seen:
            repeated += 1
            continue
        seen.add(place)
        names.append(name)
        paths.append(path)
    return ImageListing(PackedStrings(names), PackedStrings(paths), repeated)


def _listed(
    entry: str, alone: bool, column: str | None, image_root: str | Path | None
) -> Iterator[tuple[str, str]]:
    """Yield name and file of each image of one input."""
    if os.path.isdir(entry):
        files = list(files_under(entry))
        if not files:
            raise MissingFileError(f"{entry}: the folder holds no file; give the one that holds the images.")
        yield from ((os.path.relpath(file, entry) if alone else file, file) for file in files)
    elif entry.lower().endswith(TABLES) and os.path.isfile(entry):
        yield from _of_table(Path(entry), column, image_root)
    elif glob.has_magic(entry) and not os.path.exists(entry):
        files = [file for file in sorted(glob.glob(entry, recursive=True)) if os.path.isfile(file)]
        if not files:
            raise MissingFileError(f"{entry}: no file matches this pattern; correct it.")
        yield from ((file, file) for file in files)
    else:
        yield entry, entry


def files_under(folder: str) -> Iterator[str]:
    """Yield the files of a folder and of the folders under it, sorted, but for hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))


def _of_table(table: Path, column: str | None, image_root: str | Path | None) -> Iterator[tuple[str, str]]:
    frame = read_frame(table)
    chosen = column if column is not None else guess_column("image", list(frame.columns), table)
    names = [str(name) for name in select(frame, table, [chosen])[chosen] if name]
    root = Path(image_root) if image_root is not None else table.parent
    yield from zip(names, found_images(root, names), strict=True)


def found_images(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the file that each name means, "" where there is none.

    Args:
        root: A folder. A name is a path relative to it, or the name of a file anywhere under it, with or
            without its suffix; of several such files, none is meant.
        names: Names as tables have them.
    """
    anywhere: dict[str, str] | None = None
    for name in names:
        path = root / name
        if path.is_file():
            yield str(path)
            continue
        anywhere = _by_name(root) if anywhere is None else anywhere
        yield anywhere.get(os.path.basename(name), "")


def _by_name(root: Path) -> dict[str, str]:
    """Return the files under a folder by their names, and by their stems; "" for what means several."""
    found: dict[str, str] = {}
    stems: dict[str, str] = {}
    for file in files_under(str(root)):
        name = os.path.basename(file)
        stem = os.path.splitext(name)[0]
        found[name] = "" if name in found else file
        stems[stem] = "" if stem in stems else file
    return {**stems, **found}
