"""Pictures of similarity maps over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import PicturedPair, blank_figure, show_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grounding_sheet(shown: Sequence[tuple[str, np.ndarray, bool]], columns: int = 6) -> Figure:
    """Maps in colour over images, the finding outlined, the most similar pixel marked.

    Args:
        shown: Concept, image, mask and map ``(3, height, width)``, and whether the pointing game was won.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(2.2 * columns, 2.4 * rows + 0.4, "phrase grounding (outline: the finding)")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, (image, mask, map_), hit) in zip(grid.flat, shown, strict=False):
        show_pair(axes, PicturedPair(image, "", "hit" if hit else "miss", [(name, mask > 0.5)]))
        low, high = float(map_.min()), float(map_.max())
        strength = (map_ - low) / max(high - low, 1e-12)
        axes.imshow(map_, cmap="inferno", alpha=0.55 * strength)
        top, left = np.unravel_index(int(map_.argmax()), map_.shape)
        axes.plot(left, top, "+", color="white", markersize=9, markeredgewidth=1.5)
    return figure
