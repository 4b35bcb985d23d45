"""The lists of VinDr-CXR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd

_Box = npt.NDArray[np.float64]

_CORNERS = ["x_min", "y_min", "x_max", "y_max"]
_SAME = 0.5  # intersection over union from which two readers' boxes are of one lesion
_MINORITY = {"absent": "0", "unknown": "?", "present": "1"}


class VinDrCxr(Manifest):
    """VinDr-CXR 1.0.0 (Nguyen et al. 2022, doi 10.1038/s41597-022-01498-w): 28 labels, boxes of 22 of them.

    Columns: ``image`` (``<image_id>.dicom``), ``split`` ("train" or "test"), one for each label, and
    ``regions``. Each training image was read by three radiologists: a label is present where at least half of
    them saw it, and boxes are kept of labels that are present. Where several readers framed the same lesion
    (intersection over union of one half or more), it has one box, their mean. Test labels are a consensus.
    Patients are not published.

    Args:
        minority: What a label is that some saw, but fewer than half of the readers.
    """

    path = "annotations"

    def __init__(self, minority: Literal["absent", "unknown", "present"] = "absent") -> None:
        self.minority = minority

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, first the training set, then the test set; see `Manifest`."""
        import pandas as pd

        frame = pd.concat(
            [self._split(root / self.path, split) for split in ("train", "test")], ignore_index=True
        )
        frame.index = pd.RangeIndex(1, len(frame) + 1)
        return frame.fillna("")

    def _split(self, folder: Path, split: str) -> pd.DataFrame:
        import pandas as pd

        path = folder / f"image_labels_{split}.csv"
        listed = read_frame(path)
        labels = [column for column in listed.columns if column not in ("image_id", "rad_id")]
        select(listed, path, ["image_id", "No finding"])
        listed[labels] = listed[labels].apply(lambda column: column.str.removesuffix(".0"))
        wrong = ~listed[labels].isin(["0", "1"])
        if wrong.to_numpy().any():
            row = int(wrong.index[wrong.any(axis=1)][0])
            column = next(str(name) for name in labels if wrong.loc[row, name])
            cells: Any = listed.loc[row]
            raise TableError(
                f"{path}, row {row} ({cells['image_id']}), column {column!r}, value {cells[column]!r}: "
                f"is neither 0 nor 1; fetch the file again."
            )
        seen = listed[labels].astype(int).groupby(listed["image_id"], sort=False).mean()
        votes = pd.DataFrame("0", seen.index, seen.columns).mask(seen > 0, _MINORITY[self.minority])
        votes = votes.mask(seen >= 0.5, "1")
        regions = self._regions(folder, split, votes)
        images = pd.Series(votes.index, index=votes.index)
        return votes.assign(image=images + ".dicom", split=split, regions=images.map(regions).fillna(""))

    @staticmethod
    def _regions(folder: Path, split: str, votes: pd.DataFrame) -> dict[str, str]:
        path = folder / f"annotations_{split}.csv"
        frame = read_frame(path)
        if split == "test":
            frame["rad_id"] = ""
        listed = select(frame, path, ["image_id", "rad_id", "class_name", *_CORNERS])
        present = (votes == "1").to_dict("index")
        boxes: dict[str, dict[str, list[tuple[str, _Box]]]] = {}
        for row, image, reader, label, *corners in listed.itertuples():
            if not any(corners):
                continue  # "No finding" has no box
            try:
                box = np.array(corners, float)
            except ValueError:
                raise TableError(
                    f"{path}, row {row} ({image}), columns {_CORNERS}, values {corners}: are no box; fetch "
                    f"the file again."
                ) from None
            if present.get(image, {}).get(label):
                boxes.setdefault(image, {}).setdefault(label, []).append((reader, box))
        return {image: json.dumps(_lesions(drawn)) for image, drawn in boxes.items()}


def _lesions(drawn: dict[str, list[tuple[str, _Box]]]) -> list[dict[str, object]]:
    """Return a region for each lesion of an image.

    Args:
        drawn: Label → readers with their boxes, left, top, right, bottom.
    """
    lesions: list[dict[str, object]] = []
    for label, boxes in drawn.items():
        groups: list[dict[str, _Box]] = []
        for reader, box in boxes:
            others = (g for g in groups if reader not in g and _overlap(_mean(g), box) >= _SAME)
            group = next(others, None)
            if group is None:
                groups.append({reader: box})
            else:
                group[reader] = box
        for group in groups:
            left, top, right, bottom = _mean(group).tolist()
            lesions.append({"label": label, "box": [left, top, right - left, bottom - top]})
    return lesions


def _mean(group: dict[str, _Box]) -> _Box:
    return np.mean(list(group.values()), axis=0)


def _overlap(a: _Box, b: _Box) -> float:
    """Return the intersection over union of two boxes; 0 if neither has an extent."""
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / union) if union > 0 else 0.0
