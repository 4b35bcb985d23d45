"""Finding the files that a table names."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from datamodules.tables.table_error import MissingFileError

_SUFFIXES = frozenset(
    ".png .jpg .jpeg .jp2 .j2k .tif .tiff .bmp .dcm .dicom .dic .ima .gif .webp .npy .npz .nii .gz".split()
)


def with_image_suffix(name: str, suffix: str) -> str:
    """Return the name of an image with another suffix; one that has none, but dots (``1.2.840``), gets it.

    Args:
        name: The name, in folders or not.
        suffix: The suffix, with its dot.
    """
    path = PurePosixPath(name)
    return str(path.with_suffix(suffix) if path.suffix.lower() in _SUFFIXES else f"{name}{suffix}")


def find_images(root: Path, folders: Sequence[str], names: Sequence[str]) -> list[Path | None]:
    """Return the file of each name, or None where there is none.

    Args:
        root: The folder of the data set.
        folders: Patterns of the folders under it that names are relative to, e.g. "." or "images_*/images";
            where several hold a name, the first does.
        names: Names as in the table; they may contain folders.

    Raises:
        MissingFileError: If the root, or every folder, is missing.
    """
    if not root.is_dir():
        raise MissingFileError(f"image_root={str(root)!r} is no folder; give the one that holds the images.")
    found = (root / place for pattern in folders for place in sorted(glob.glob(pattern, root_dir=root)))
    places = [place for place in found if place.is_dir()]
    if not places:
        raise MissingFileError(
            f"{root} holds no folder like {list(folders)}; correct image_root or image_folders."
        )
    if not any("/" in name for name in names):  # one listing a folder, instead of one look a name and folder
        listed = {name: place for place in reversed(places) for name in os.listdir(place)}
        return [listed[name] / name if name in listed else None for name in names]

    def find(name: str) -> Path | None:
        # A name that leads out of its folder is none: a table is somebody else's.
        inside = (place / name for place in places if _is_inside(place / name, place))
        return next((path for path in inside if path.is_file()), None)

    return [find(name) for name in names]


def _is_inside(path: Path, place: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(place))
