"""What says which images there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Manifest(ABC):
    """What says which images there are, and what is known of them: a table with a row for each image.

    Attributes:
        path: The file or folder that messages about the table name, relative to the data set's folder.
        left_out: What the lists hold and `frame` has left out, for people; "" for nothing.
    """

    path: str = "."
    left_out: str = ""

    @abstractmethod
    def frame(self, root: Path) -> pd.DataFrame:
        """Return the table: stripped strings, empty where nothing is known; the index counts from 1.

        Args:
            root: Folder of the data set.

        Raises:
            MissingFileError: If a file of the data set is missing.
            TableError: If one cannot be used.
        """
