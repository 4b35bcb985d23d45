"""Pictures of masks, true and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import PicturedPair, blank_figure, show_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mask_sheet(shown: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], columns: int = 4) -> Figure:
    """Each image twice: with the outlines of the true masks, and with those that were drawn.

    Args:
        shown: Image ``(height, width)``, and concept → true and drawn mask ``(2, height, width)``.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(4.2 * columns, 2.4 * rows + 0.4, "segmentation: truth, prediction")
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, (image, masks) in enumerate(shown):
        row, column = divmod(i, columns)
        for side, title in enumerate(("truth", "prediction")):
            outlines = [(name if both[side].any() else "", both[side]) for name, both in masks.items()]
            show_pair(grid[row, 2 * column + side], PicturedPair(image, "", title, outlines))
    return figure
