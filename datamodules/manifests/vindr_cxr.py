"""The lists of VinDr-CXR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datamodules.manifests.manifest import Manifest
from datamodules.table import TableError, read_frame, select

if TYPE_CHECKING:
    import pandas as pd

_CORNERS = ["x_min", "y_min", "x_max", "y_max"]
_MINORITY = {"absent": "0", "unknown": "?", "present": "1"}


class VinDrCxr(Manifest):
    """VinDr-CXR 1.0.0 (Nguyen et al. 2022, doi 10.1038/s41597-022-01498-w): 28 labels, boxes of 22 of them.

    Columns: ``image`` (``<image_id>.dicom``), ``split`` ("train" or "test"), one for each label, and
    ``regions``. Each training image was read by three radiologists: a label is present where at least half of
    them saw it, and boxes are kept of labels that are present. Test labels are a consensus. Patients are not
    published.

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
        listed = select(read_frame(path), path, ["image_id", "class_name", *_CORNERS])
        present = (votes == "1").to_dict("index")
        boxes: dict[str, list[dict[str, object]]] = {}
        for row, image, label, *corners in listed.itertuples():
            if not any(corners):
                continue  # "No finding" has no box
            try:
                left, top, right, bottom = map(float, corners)
            except ValueError:
                raise TableError(
                    f"{path}, row {row} ({image}), columns {_CORNERS}, values {corners}: are no box; fetch "
                    f"the file again."
                ) from None
            if present.get(image, {}).get(label):
                box = {"label": label, "box": [left, top, right - left, bottom - top]}
                boxes.setdefault(image, []).append(box)
        return {image: json.dumps(parts) for image, parts in boxes.items()}
