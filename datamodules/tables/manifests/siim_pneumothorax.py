"""The list of the SIIM-ACR Pneumothorax Segmentation challenge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd

LABEL = "Pneumothorax"
_SIZE = [1024, 1024]


class SiimPneumothorax(Manifest):
    """SIIM-ACR Pneumothorax Segmentation 2019: which images have a pneumothorax, and its run-length code.

    Columns: ``image`` (``<ImageId>.dcm``), ``Pneumothorax`` ("1" or "0") and ``regions``. Several rows of an
    image are several parts of its mask. An image of the folder that the list does not name was not annotated.

    Args:
        path: ``train-rle.csv`` in the folder of the data set, or ``stage_2_train.csv`` of the second stage.
    """

    def __init__(self, path: str = "train-rle.csv") -> None:
        self.path = path

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, in the order of the list; see `Manifest`."""
        import pandas as pd

        path = root / self.path
        listed = select(read_frame(path), path, ["ImageId", "EncodedPixels"])
        masks: dict[str, list[str]] = {}
        for row, image, code in listed.itertuples():
            runs = masks.setdefault(image, [])
            if code != "-1":
                if not code or not all(number.isdigit() for number in code.split()):
                    raise TableError(
                        f"{path}, row {row} ({image}), column 'EncodedPixels', value {code[:40]!r}: is "
                        f"neither -1 nor pairs of numbers; fetch the file again."
                    )
                runs.append(code)
        regions = [
            [{"label": LABEL, "runs": code, "size": _SIZE} for code in runs] for runs in masks.values()
        ]
        return pd.DataFrame(
            {
                "image": [f"{image}.dcm" for image in masks],
                LABEL: ["1" if parts else "0" for parts in regions],
                "regions": [json.dumps(parts) if parts else "" for parts in regions],
            },
            index=pd.RangeIndex(1, len(masks) + 1),
        )
