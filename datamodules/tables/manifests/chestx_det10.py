"""The lists of ChestX-Det10."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.tables.json_file import read_objects
from datamodules.tables.manifests.drawn_box import drawn_box
from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd


class ChestXDet10(Manifest):
    """ChestX-Det10 (Liu et al. 2020, arXiv 2006.10550): boxes of ten findings on NIH ChestX-ray14.

    As in github.com/Deepwise-AILab/ChestX-Det10-Dataset: ``train.json`` and ``test.json`` are lists of
    ``{"file_name": "00000042_006.png", "syms": ["Fibrosis"], "boxes": [[left, top, right, bottom]]}``; an
    image without boxes has none of the ten.

    Columns: ``image``, ``patient`` (of the file name), ``split`` ("train" or "test"), ``syms`` (separated by
    ``|``) and ``regions``.

    Args:
        size: Height and width of the images that boxes were drawn on, as the NIH gives them; boxes are scaled
            where your copies are smaller. None takes boxes as pixels of your files.
    """

    def __init__(self, size: int | None = 1024) -> None:
        self.size = size

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, first the training set, then the test set; see `Manifest`."""
        import pandas as pd

        rows = [row for split in ("train", "test") for row in self._split(root / f"{split}.json", split)]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))

    def _split(self, path: Path, split: str) -> list[dict[str, str]]:
        return [
            self._row(f"{path}, row {number} ({entry['file_name']})", entry, split)
            for number, entry in enumerate(read_objects(path, ["file_name", "syms", "boxes"]), 1)
        ]

    def _row(self, place: str, entry: dict[str, Any], split: str) -> dict[str, str]:
        image, labels, boxes = str(entry["file_name"]), entry["syms"], entry["boxes"]
        if not (isinstance(labels, list) and isinstance(boxes, list) and len(labels) == len(boxes)):
            raise TableError(
                f"{place}, keys 'syms' and 'boxes', values {str(labels)[:80]} and {str(boxes)[:80]}: are no "
                f"lists of equal length; each box needs its finding."
            )
        size = {"size": [self.size, self.size]} if self.size else {}
        within = (self.size, self.size) if self.size else None
        regions = []
        for label, corners in zip(labels, boxes, strict=True):
            four = corners if isinstance(corners, list) else ()
            regions.append({"label": label, "box": drawn_box(place, corners, four, within), **size})
        return {
            "image": image,
            "patient": image.partition("_")[0],
            "split": split,
            "syms": "|".join(dict.fromkeys(map(str, labels))),
            "regions": json.dumps(regions) if regions else "",
        }
