"""The lists of the RSNA Pneumonia Detection Challenge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import MissingFileError, TableError

if TYPE_CHECKING:
    import pandas as pd

_BOXES = "stage_2_train_labels.csv"
_CLASSES = "stage_2_detailed_class_info.csv"
_BOX = ["x", "y", "width", "height"]


class RsnaPneumonia(Manifest):
    """RSNA Pneumonia Detection Challenge 2018, stage 2 (Shih et al. 2019, doi 10.1148/ryai.2019180041).

    Columns: ``image`` (``<id>.dcm``), ``patient``, ``class`` ("Lung Opacity", "Normal", "No Lung Opacity /
    Not Normal") and ``regions`` (boxes labelled "Lung Opacity"). The images of the challenge's test set have
    no public labels and are left out.

    Args:
        mapping: ``pneumonia-challenge-dataset-mappings_2018.json`` beside the lists, by which images go back
            to NIH ChestX-ray14 and so to patients; None counts each image as a patient, although a patient
            can have several.
    """

    def __init__(self, mapping: str | None = None) -> None:
        self.mapping = mapping

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, in the order of the class list; see `Manifest`."""
        import pandas as pd

        path = root / _BOXES
        boxes = select(read_frame(path), path, ["patientId", *_BOX, "Target"])
        path = root / _CLASSES
        classes = select(read_frame(path), path, ["patientId", "class"]).drop_duplicates()
        if classes["patientId"].duplicated().any():
            image = classes["patientId"][classes["patientId"].duplicated()].iloc[0]
            raise TableError(f"{path}: {image!r} has several classes; fetch the file again.")
        regions: dict[str, list[dict[str, object]]] = {}
        for row, image, *box, _ in boxes[boxes["Target"] == "1"].itertuples():
            try:
                corner = [float(b) for b in box]
            except ValueError:
                raise TableError(
                    f"{root / _BOXES}, row {row} ({image}), columns {_BOX}, values {box}: are no box, though "
                    f"Target is 1; fetch the file again."
                ) from None
            regions.setdefault(image, []).append({"label": "Lung Opacity", "box": corner})
        images = classes["patientId"]
        frame = pd.DataFrame(
            {
                "image": images + ".dcm",
                "patient": images.map(_patients(root / self.mapping)) if self.mapping else images,
                "class": classes["class"],
                "regions": images.map({image: json.dumps(found) for image, found in regions.items()}),
            }
        ).fillna("")
        frame.index = pd.RangeIndex(1, len(frame) + 1)
        return frame


def _patients(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; fetch it, or set mapping: null.")
    try:
        entries = json.loads(path.read_text())
        return {entry["subset_img_id"]: entry["img_id"].split("_")[0] for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: is no list of objects with 'subset_img_id' and 'img_id' "
            f"({type(error).__name__}: {error}); fetch it again."
        ) from error
