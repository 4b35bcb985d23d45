"""Average precision of boxes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import Occasion, Result, require_non_negative
from callbacks.base.features import Features
from callbacks.evaluations.box_pictures import box_sheet
from callbacks.statistics.intervals import PatientBootstrap
from datamodules.batch import IMAGE, INDEX

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


class DetectionPrecision(BatchEvaluation):
    """COCO's average precision of boxes, by pycocotools.

    (torchmetrics wraps the same library, but asks for torchvision, which nothing else here needs.) No score
    threshold is chosen: precision is averaged over all.

    Figures: ``map`` (mean over classes and IoU .50 to .95), ``map50``, ``map/<concept>``,
    ``map50/<concept>``. Intervals are those of the first two.

    Args:
        min_count: A class with fewer true boxes is left out, and named.
        examples: How many of the first samples are kept for the picture.
        resamples: Bootstrap resamples of patients: each matches all boxes again.
        name: The callback's part of the metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    def __init__(
        self,
        min_count: int = 5,
        examples: int = 16,
        resamples: int = 200,
        name: str = "detection",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, resamples=resamples, **kwargs)
        require_non_negative(min_count=min_count, examples=examples)
        self.min_count, self.examples = min_count, examples

    def measure(
        self, pl_module: L.LightningModule, batch: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Sequence[DetectedBoxes]:
        """Takes true and detected boxes."""
        names: tuple[str, ...] = pl_module.concepts  # type: ignore[assignment]
        index = batch[INDEX].tolist()
        rows = []
        for row, target in enumerate(pl_module.targets(batch)):  # type: ignore[operator]
            centre, half = np.split(target["boxes"].cpu().numpy(), [2], axis=1)
            half = half / 2
            kept = batch[IMAGE][row, 0].float().cpu().numpy() if index[row] < self.examples else None
            found, kinds, scores = (
                outputs[key][row].cpu().numpy() for key in ("boxes", "box_classes", "box_scores")
            )
            truth = np.concatenate([centre - half, centre + half], axis=1)
            labels = target["class_labels"].cpu().numpy()
            rows.append(DetectedBoxes(names, truth, labels, found, kinds, scores, kept))
        return rows

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Matches the boxes."""
        rows: list[DetectedBoxes] = features.measured[self.name]
        names = rows[0].names
        counts = np.bincount(
            np.concatenate([row.truth_classes for row in rows]).astype(int), minlength=len(names)
        )
        judged = [c for c, n in enumerate(counts) if n >= max(1, self.min_count)]
        metrics: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        if judged:
            matcher = CocoMatches(rows, judged)
            metrics |= _figures(matcher.precision(np.arange(len(rows))), [names[c] for c in judged])
            bootstrap = self.bootstrap(features.group.numpy(), occasion)
            if bootstrap is not None:
                drawn = [np.nanmean(matcher.precision(draw), 1) for draw in _draws(bootstrap)]
                whole, half = np.array([(each.mean(), each[0]) for each in drawn]).T
                intervals = {"map": bootstrap.interval(whole), "map50": bootstrap.interval(half)}
        details = {
            "boxes": {name: int(n) for name, n in zip(names, counts, strict=True)},
            "left_out": {name: int(counts[c]) for c, name in enumerate(names) if c not in judged},
            "intervals": intervals,
        }
        return Result(metrics, details)

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws true boxes, and as many of the surest detected ones, over the first images."""
        rows: list[DetectedBoxes] = features.measured[self.name]
        shown = [row for row in rows if row.image is not None and len(row.truth)]
        return {"detection": box_sheet(shown)} if shown else {}


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


def _figures(precision: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    return {
        "map": float(precision.mean()),
        "map50": float(precision[0].mean()),
        **{f"map/{name}": float(value) for name, value in zip(names, precision.mean(0), strict=True)},
        **{f"map50/{name}": float(value) for name, value in zip(names, precision[0], strict=True)},
    }


def _draws(bootstrap: PatientBootstrap) -> Iterator[np.ndarray]:
    for block in bootstrap.weights():
        for counts in block.T:
            yield np.repeat(np.arange(len(counts)), counts.astype(int))
