"""True and detected boxes, matched as COCO's evaluation does."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class DetectedBoxes:
    """True and detected boxes of one image, ``(boxes, 4)``: left, top, right, bottom as shares of its sides.

    Attributes:
        names: The classes.
        truth: True boxes.
        truth_classes: Their classes.
        found: Detected boxes.
        found_classes: Their classes.
        scores: Their scores.
        image: ``(height, width)``, kept for the first samples alone.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    truth_classes: np.ndarray
    found: np.ndarray
    found_classes: np.ndarray
    scores: np.ndarray
    image: np.ndarray | None = None


class CocoMatches:
    """Detected boxes matched to true ones once; precision of any resample of images afterwards.

    Args:
        rows: The images.
        classes: The classes that are judged.
    """

    def __init__(self, rows: Sequence[DetectedBoxes], classes: Sequence[int]) -> None:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        truth, found = COCO(), COCO()
        categories = [{"id": int(c)} for c in classes]
        images = [{"id": i} for i in range(len(rows))]
        annotations = [
            [
                _annotation(i, box, kind)
                for i, row in enumerate(rows)
                for box, kind in zip(row.truth, row.truth_classes, strict=True)
            ],
            [
                _annotation(i, box, kind) | {"score": float(score)}
                for i, row in enumerate(rows)
                for box, kind, score in zip(row.found, row.found_classes, row.scores, strict=True)
            ],
        ]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            for coco, some in zip((truth, found), annotations, strict=True):
                numbered = [annotation | {"id": number} for number, annotation in enumerate(some, 1)]
                coco.dataset = {"images": images, "categories": categories, "annotations": numbered}
                coco.createIndex()
            self._coco = COCOeval(truth, found, "bbox")
            self._coco.params.areaRng, self._coco.params.areaRngLbl = [[0, 1e10]], ["all"]
            self._coco.evaluate()
        self._matches = np.array(self._coco.evalImgs, dtype=object).reshape(len(classes), len(rows))

    def precision(self, draw: np.ndarray) -> np.ndarray:
        """Average precision ``(IoU, class)`` of some images, which may be drawn more than once.

        NaN where none of them has a true box of the class.

        Args:
            draw: Numbers of the images.
        """
        coco = self._coco
        coco.evalImgs = self._matches[:, draw].ravel().tolist()
        coco.params.imgIds = coco._paramsEval.imgIds = list(range(len(draw)))
        with contextlib.redirect_stdout(io.StringIO()):
            coco.accumulate()
        found = coco.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class), -1 for no true box
        return np.where(found < 0, np.nan, found).mean(1)


def _annotation(image: int, box: np.ndarray, kind: int) -> dict[str, Any]:
    left, top, right, bottom = (float(edge) for edge in box)
    width, height = right - left, bottom - top
    return {
        "image_id": image,
        "category_id": int(kind),
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": 0,
    }
