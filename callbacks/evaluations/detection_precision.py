"""Average precision of boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, PicturedPair, blank_figure, show_pair
from callbacks.statistics.coco_matches import CocoMatches, DetectedBoxes
from callbacks.statistics.intervals import Array, PatientBootstrap
from datamodules.batch import IMAGE, INDEX, MASKS, Batch
from lightning_modules.downstream.detection import DetectionOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class DetectionPrecision(BatchEvaluation[DetectionOutput]):
    """COCO's average precision of boxes, by pycocotools.

    (torchmetrics wraps the same library, but asks for torchvision, which nothing else here needs.) No score
    threshold is chosen: precision is averaged over all.

    Figures: ``map`` (mean over classes and IoU .50 to .95), ``map50``, ``map50_any`` (as if there were one
        class: is
    something found, whatever it is called?), ``map/<concept>``, ``map50/<concept>``. Intervals are those of
    the first three.

    Args:
        min_count: A class with fewer true boxes is left out, and named.
        examples: How many of the first samples are kept for the picture.
        resamples: Bootstrap resamples of patients: each matches all boxes again.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    needs = frozenset({MASKS})  # boxes of regions come with them
    reads = DetectionOutput

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
        self, pl_module: L.LightningModule, batch: Batch, outputs: DetectionOutput
    ) -> Sequence[DetectedBoxes]:
        """Take true and detected boxes."""
        names: tuple[str, ...] = pl_module.concepts  # type: ignore[assignment]
        index = batch[INDEX].tolist()
        rows = []
        for row, target in enumerate(pl_module.targets(batch)):  # type: ignore[operator]
            centre, half = np.split(target["boxes"].cpu().numpy(), [2], axis=1)
            half = half / 2
            kept = batch[IMAGE][row, 0].float().cpu().numpy() if index[row] < self.examples else None
            found, kinds, scores = (
                part[row].cpu().numpy() for part in (outputs.boxes, outputs.box_classes, outputs.box_scores)
            )
            truth = np.concatenate([centre - half, centre + half], axis=1)
            labels = target["class_labels"].cpu().numpy()
            rows.append(DetectedBoxes(names, truth, labels, found, kinds, scores, kept))
        return rows

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Match the boxes."""
        rows: list[DetectedBoxes] = features.measured[self.name]
        names = rows[0].names
        counts = np.bincount(
            np.concatenate([row.truth_classes for row in rows]).astype(int), minlength=len(names)
        )
        judged = [c for c, n in enumerate(counts) if n >= max(1, self.min_count)]
        metrics: dict[str, float] = {}
        draws: dict[str, Array] = {}
        if judged:
            matcher = CocoMatches(rows, judged)
            one_class = CocoMatches([_one_class(row, judged) for row in rows], [0])
            everything = np.arange(len(rows))
            metrics |= _figures(matcher.precision(everything), [names[c] for c in judged])
            metrics["map50_any"] = float(one_class.precision(everything)[0, 0])
            bootstrap = self.bootstrap(features.group.numpy(), occasion)
            if bootstrap is not None:
                drawn = [
                    (np.nanmean(matcher.precision(draw), 1), one_class.precision(draw)[0, 0])
                    for draw in _draws(bootstrap)
                ]
                whole, half, found = np.array([(each.mean(), each[0], any_) for each, any_ in drawn]).T
                draws = {"map": whole, "map50": half, "map50_any": found}
        details = {
            "boxes": {name: int(n) for name, n in zip(names, counts, strict=True)},
            "left_out": {name: int(counts[c]) for c, name in enumerate(names) if c not in judged},
        }
        return Result(metrics, details, draws)

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw true boxes, and as many of the surest detected ones, over the first images."""
        rows: list[DetectedBoxes] = features.measured[self.name]
        shown = [row for row in rows if row.image is not None and len(row.truth)]
        return {"detection": box_sheet(shown)} if shown else {}


def _one_class(row: DetectedBoxes, judged: Sequence[int]) -> DetectedBoxes:
    """Return the boxes of the judged classes, as of one."""
    true, found = np.isin(row.truth_classes, judged), np.isin(row.found_classes, judged)
    return replace(
        row,
        truth=row.truth[true],
        truth_classes=np.zeros(int(true.sum()), int),
        found=row.found[found],
        found_classes=np.zeros(int(found.sum()), int),
        scores=row.scores[found],
    )


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


def box_sheet(shown: Sequence[DetectedBoxes], columns: int = 4) -> Figure:
    """Each image twice: with the true boxes, and with as many of the surest detected ones.

    Args:
        shown: Images with boxes.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(4.2 * columns, 2.4 * rows + 0.4, "detection: truth, prediction")
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, image in enumerate(shown):
        row, column = divmod(i, columns)
        assert image.image is not None
        surest = np.argsort(-image.scores, kind="stable")[: len(image.truth)]
        scored = [f" {score:.2f}" for score in image.scores[surest]]
        for side, (title, boxes, kinds, notes) in enumerate(
            (
                ("truth", image.truth, image.truth_classes, [""] * len(image.truth)),
                ("prediction", image.found[surest], image.found_classes[surest], scored),
            )
        ):
            axes = grid[row, 2 * column + side]
            show_pair(axes, PicturedPair(image.image, "", title))
            for box, kind, note in zip(boxes, kinds, notes, strict=True):
                name = image.names[int(kind)].replace("_", " ") + note
                _frame(axes, box * image.image.shape[0], name, COLOURS[int(kind) % len(COLOURS)])
    return figure


def _frame(axes: Axes, box: np.ndarray, name: str, colour: str) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour))
    axes.text(left, top, name, fontsize=5, color=colour, va="bottom")
