"""The table of NIH ChestX-ray14 with its official split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd

_IMAGE = "Image Index"
_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}


class NihChestXray14(Manifest):
    """NIH ChestX-ray14 (Wang et al. 2017, arXiv 1705.02315) with the lists that its authors split it by.

    Columns: those of the table, and ``split`` ("train_val" or "test"): 86,524 and 25,596 images, which share
    no patient. Lists may name images that the table does not, so part of the data set will do.

    Args:
        path: The table, relative to the folder of the data set; older copies call it ``Data_Entry_2017.csv``.
    """

    def __init__(self, path: str = "Data_Entry_2017_v2020.csv") -> None:
        self.path = path

    def frame(self, root: Path) -> pd.DataFrame:
        """Return the table with a column more; see `Manifest`."""
        table = root / self.path
        frame = read_frame(table)
        images = select(frame, table, [_IMAGE])[_IMAGE]
        listed = {
            split: images.isin(read_frame(root / name, names=[_IMAGE])[_IMAGE])
            for split, name in _LISTS.items()
        }
        wrong = listed["train_val"] == listed["test"]
        if wrong.any():
            row = int(wrong.index[wrong][0])
            where = "both" if listed["test"][row] else "none"
            raise TableError(
                f"{table}, row {row}, column {_IMAGE!r}, value {images[row]!r}: stands in {where} of "
                f"{', '.join(_LISTS.values())} ({wrong.sum():,} such rows); fetch both lists again, or leave "
                f"them unread (configs/data/nih_chestxray14.yaml)."
            )
        return frame.assign(split=listed["test"].map({True: "test", False: "train_val"}))
