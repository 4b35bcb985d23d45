"""One file that lists the images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame
from datamodules.tables.table_error import MissingFileError

if TYPE_CHECKING:
    import pandas as pd


class TableFile(Manifest):
    """A CSV, Parquet or JSON file with a row for each image (or for each question about one).

    Args:
        path: The file, relative to the folder of the data set.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def frame(self, root: Path) -> pd.DataFrame:
        """Return the table as it stands in the file; see `Manifest`."""
        try:
            return read_frame(root / self.path)
        except MissingFileError as error:
            raise MissingFileError(
                f"{error} Give the CSV, Parquet or JSON file that lists the images."
            ) from None
