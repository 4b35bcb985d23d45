"""Reading every image once, before training does."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.image_file import Colour, ImageFileError, read_radiograph
from datamodules.tables.table import BadRow

if TYPE_CHECKING:
    import pandas as pd


def bad_images(
    images: pd.Series[str], paths: Sequence[Path | None], known: Container[int], colour: Colour, workers: int
) -> list[BadRow]:
    """Read the image of every row that is not known to be bad, and return those that cannot be read.

    Args:
        images: Names of the images, by row; its name is that of the column.
        paths: Their files.
        known: Rows that are bad anyway.
        colour: See `read_radiograph`.
        workers: Processes that read; 0 reads here.
    """
    rows = [(i, int(row)) for i, row in enumerate(images.index) if row not in known]
    faults = unreadable([paths[i] for i, _ in rows], colour, workers)
    column = str(images.name)
    return [
        BadRow(row, images[row], column, images[row], fault.kind, str(fault))
        for (_, row), fault in zip(rows, faults, strict=True)
        if fault is not None
    ]


def unreadable(paths: Sequence[Path | None], colour: Colour, workers: int) -> list[ImageFileError | None]:
    """Return for each file why it cannot be read, or None.

    Args:
        paths: The files; None where the table names one that was not found.
        colour: See `read_radiograph`.
        workers: Processes that read; 0 reads here.
    """
    from rich.progress import track
    from torch.utils.data import DataLoader

    check = _Check(paths, colour)
    loader = DataLoader(check, batch_size=None, num_workers=workers)  # type: ignore[arg-type,var-annotated]
    return list(track(loader, f"checking {len(paths):,} images", len(paths), transient=True))


class _Check:
    def __init__(self, paths: Sequence[Path | None], colour: Colour) -> None:
        self.paths, self.colour = paths, colour

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> ImageFileError | None:
        path = self.paths[i]
        if path is None:
            reason = "no such file in the image folders; correct the name, image_root or image_folders."
            return ImageFileError(reason, "missing file")
        try:
            read_radiograph(path, 8, colour=self.colour)
        except ImageFileError as error:
            return ImageFileError(str(error), error.kind)  # without its cause, which may not be picklable
        return None
