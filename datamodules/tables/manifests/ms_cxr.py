"""The phrases of MS-CXR and their boxes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.tables.json_file import checked_objects, read_json
from datamodules.tables.manifests.drawn_box import drawn_box
from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = [
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
]
_BOX = ["x", "y", "w", "h"]
_SIZE = ["image_height", "image_width"]


@dataclass(frozen=True)
class _Drawn:
    """A box of a phrase, as it stands in a file; `box` is x, y, width, height, `size` height and width."""

    place: str
    image: str
    category: str
    phrase: str
    box: list[Any]
    size: list[Any]


class MsCxr(Manifest):
    """MS-CXR 0.1 to 1.1.0 (Boecking et al. 2022, arXiv 2204.09817): phrases of MIMIC-CXR reports, with boxes.

    Either form of the annotations is read, as physionet.org/content/ms-cxr gives them. The CSV has a row for
    each box: ``dicom_id``, ``category_name``, ``label_text``, ``path`` (without it images are called
    ``<dicom_id>.jpg``), ``x``, ``y``, ``w``, ``h``, ``image_width``, ``image_height``. The JSON is COCO's:
    ``images`` (``id``, ``path`` or ``file_name``, ``width``, ``height``), ``categories`` and ``annotations``
    (``image_id``, ``category_id``, ``bbox``, ``label_text``). Their split is not used: the data set judges.

    Columns: ``image``, ``patient``, one for each of the eight findings ("1" where a phrase is about it, else
    nothing: no finding is said to be absent) and ``regions``.

    Args:
        path: The file, relative to the folder of MIMIC-CXR-JPG, or absolute.
    """

    def __init__(self, path: str = "MS_CXR_Local_Alignment_v1.1.0.csv") -> None:
        self.path = path

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, in the order of the file; see `Manifest`."""
        import pandas as pd

        file = root / self.path
        regions: dict[str, list[dict[str, Any]]] = {}
        for drawn in _of_json(file) if file.suffix.lower() == ".json" else _of_table(file):
            regions.setdefault(drawn.image, []).append(_region(drawn))
        rows = [
            {
                "image": image,
                "patient": _patient(image),
                "regions": json.dumps(found),
                **{name: "1" if name in {r["label"] for r in found} else "" for name in CATEGORIES},
            }
            for image, found in regions.items()
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))


def _region(drawn: _Drawn) -> dict[str, Any]:
    if not drawn.phrase:
        raise TableError(f"{drawn.place}, label_text: is empty; give the phrase, or take the box out.")
    try:
        height, width = (int(float(side)) for side in drawn.size)
        x, y, w, h = map(float, drawn.box)
    except (TypeError, ValueError):
        raise TableError(
            f"{drawn.place}, values {drawn.box} and {drawn.size}: are no box (x, y, width, height) on an "
            f"image of a height and width; correct them."
        ) from None
    box = drawn_box(drawn.place, drawn.box, (x, y, x + w, y + h), (height, width))
    return {"label": drawn.category, "phrase": drawn.phrase, "box": box, "size": [height, width]}


def _of_table(path: Path) -> Iterator[_Drawn]:
    frame = read_frame(path)
    named = ["path"] if "path" in frame.columns else []
    columns = ["dicom_id", "category_name", "label_text", *_BOX, *_SIZE]
    for row in select(frame, path, columns + named).to_dict("index").items():
        number, cells = row
        image = cells.get("path") or f"{cells['dicom_id']}.jpg"
        yield _Drawn(
            f"{path}, row {number} ({image})", str(image), cells["category_name"], cells["label_text"],
            [cells[name] for name in _BOX], [cells[name] for name in _SIZE],
        )  # fmt: skip


def _of_json(path: Path) -> Iterator[_Drawn]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise TableError(f"{path}: holds no COCO annotations; give the file of MS-CXR.")
    listed = {
        key: checked_objects(found.get(key), f"{path}, key {key!r}", names)
        for key, names in {
            "images": ["id"],
            "categories": ["id", "name"],
            "annotations": ["image_id", "category_id", "bbox", "label_text"],
        }.items()
    }
    images = {image["id"]: image for image in listed["images"]}
    categories = {category["id"]: str(category["name"]) for category in listed["categories"]}
    for number, drawn in enumerate(listed["annotations"], 1):
        place = f"{path}, annotation {number}"
        image, category = images.get(drawn["image_id"]), categories.get(drawn["category_id"])
        if image is None or category is None:
            raise TableError(
                f"{place}: is of image {drawn['image_id']!r} and category {drawn['category_id']!r}, one of "
                f"which the file does not list; fetch it again."
            )
        name = str(image.get("path") or image.get("file_name") or "")
        size = [drawn.get(side, image.get(side)) for side in ("height", "width")]
        phrase = str(drawn["label_text"]).strip()
        box = drawn["bbox"] if isinstance(drawn["bbox"], list) else [drawn["bbox"]]
        yield _Drawn(f"{place} ({name})", name, category, phrase, box, size)


def _patient(image: str) -> str:
    found = re.search(r"(?:^|/)p(\d{8})/", image)
    return found[1] if found else image
