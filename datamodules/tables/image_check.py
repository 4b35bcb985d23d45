"""Reading every image once, before training does."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.bad_row import BadRow
from datamodules.tables.image_file import Colour, ImageFileError, read_grey

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SeenImage:
    """What reading an image has shown.

    Attributes:
        shape: Its height and width, in pixels.
        sha256: Of its file.
    """

    shape: tuple[int, int]
    sha256: str


def look_at_images(
    images: pd.Series[str], paths: Sequence[Path | None], known: Container[int], colour: Colour, workers: int
) -> tuple[list[BadRow], dict[int, SeenImage]]:
    """Read the image of every row that is not known to be bad, once where several rows have it.

    Args:
        images: Names of the images, by row; its name is that of the column.
        paths: Their files.
        known: Rows that are bad anyway.
        colour: See `read_radiograph`.
        workers: Processes that read; 0 reads here.

    Returns:
        The rows whose images cannot be read; and row → what the others have shown.
    """
    rows = [(i, int(row)) for i, row in enumerate(images.index) if row not in known]
    files = list(dict.fromkeys(paths[i] for i, _ in rows))
    looked = dict(zip(files, _looked_at(files, colour, workers), strict=True))
    seen = [looked[paths[i]] for i, _ in rows]
    column = str(images.name)
    bad = [
        BadRow(row, images[row], column, images[row], found.kind, str(found))
        for (_, row), found in zip(rows, seen, strict=True)
        if isinstance(found, ImageFileError)
    ]
    there = {row: found for (_, row), found in zip(rows, seen, strict=True) if isinstance(found, SeenImage)}
    return bad, there


def same_files(images: pd.Series[str], paths: Sequence[Path | None]) -> list[BadRow]:
    """Return the rows whose image is the very file of an earlier row: ``./a.png`` beside ``a.png``, or links.

    Args:
        images: Names of the images, by row; its name is that of the column.
        paths: Their files.
    """
    first: dict[tuple[int, int], int] = {}
    bad = []
    for row, path in zip(images.index, paths, strict=True):
        status = path.stat() if path is not None and path.exists() else None
        if status is None:
            continue
        other = first.setdefault((status.st_dev, status.st_ino), int(row))
        if other != row and images[other] != images[row]:
            reason = f"is the same file as {images[other]!r} of row {other}; keep one of the two rows."
            column = str(images.name)
            bad.append(BadRow(int(row), images[row], column, images[row], "image named twice", reason))
    return bad


def same_pictures(
    images: pd.Series[str], patients: pd.Series[str] | None, seen: Mapping[int, SeenImage]
) -> list[BadRow]:
    """Return the rows whose file holds the very bytes of an earlier row's; they are kept.

    Args:
        images: Names of the images, by row; its name is that of the column.
        patients: Patient of each row; None where they are not known.
        seen: Row → what its image has shown.
    """
    first: dict[str, int] = {}
    found = []
    for row, image in seen.items():
        other = first.setdefault(image.sha256, row)
        if images[other] == images[row]:
            continue
        strangers = patients is None or patients[other] != patients[row]
        kind = "picture of two patients" if strangers else "picture of a patient twice"
        whose = (
            "of another patient, so that both may be in different splits" if strangers else "of the patient"
        )
        reason = (
            f"holds the same bytes as {images[other]!r} of row {other}, {whose}; keep one of the two rows."
        )
        found.append(BadRow(row, images[row], str(images.name), images[row], kind, reason, kept=True))
    return found


def _looked_at(
    paths: Sequence[Path | None], colour: Colour, workers: int
) -> list[ImageFileError | SeenImage]:
    from torch.utils.data import DataLoader

    from synthesis.progress import track

    check = _Check(paths, colour)
    loader = DataLoader(check, batch_size=None, num_workers=workers)  # type: ignore[arg-type,var-annotated]
    return list(track(loader, f"checking {len(paths):,} images", len(paths), transient=True))


class _Check:
    def __init__(self, paths: Sequence[Path | None], colour: Colour) -> None:
        self.paths, self.colour = paths, colour

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> ImageFileError | SeenImage:
        path = self.paths[i]
        if path is None:
            reason = "no such file in the image folders; correct the name, image_root or image_folders."
            return ImageFileError(reason, "missing file")
        try:
            height, width = read_grey(path, self.colour).shape
        except ImageFileError as error:
            return ImageFileError(str(error), error.kind)  # without its cause, which may not be picklable
        with path.open("rb") as file:
            return SeenImage((height, width), hashlib.file_digest(file, "sha256").hexdigest())
