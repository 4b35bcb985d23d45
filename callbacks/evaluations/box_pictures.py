"""Pictures of boxes, true and detected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import COLOURS, PicturedPair, blank_figure, show_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from callbacks.evaluations.detection_precision import DetectedBoxes


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
