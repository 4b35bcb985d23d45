"""Pictures of generated reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import COLOURS, PicturedPair, blank_figure, show_pair, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report_sheet(shown: Sequence[tuple[np.ndarray, str, str]]) -> Figure:
    """One row a sample: image, true report, generated report.

    Args:
        shown: Image ``(height, width)``, true and generated report.
    """
    figure = blank_figure(10, 2.7 * len(shown) + 0.4, "generated reports")
    grid = figure.subplots(len(shown), 3, squeeze=False, width_ratios=[1, 1.3, 1.3])
    for axes in grid.flat:
        axes.axis("off")
    for row, (image, true, written) in zip(grid, shown, strict=True):
        show_pair(row[0], PicturedPair(image, ""))
        write_text(row[1], true, width=50, lines=18, title="true report", colour=COLOURS[1])
        write_text(row[2], written, width=50, lines=18, title="generated")
    return figure
