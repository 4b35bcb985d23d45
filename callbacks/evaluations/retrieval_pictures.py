"""Pictures of class-level retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import COLOURS, GREY, INK, blank_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def precision_curves(hits: Mapping[str, np.ndarray], label: np.ndarray, classes: Sequence[str]) -> Figure:
    """Precision over k, a panel a direction, a curve a class, with chance.

    Args:
        hits: Direction → whether the k-th answer of a query is of its class, ``(n, n)``.
        label: Class of each query, ``(n,)``.
        classes: Their names.
    """
    figure = blank_figure(11, 3.8, "class-level retrieval")
    panels = figure.subplots(1, len(hits), squeeze=False, sharey=True)
    for axes, (direction, same) in zip(panels.flat, hits.items(), strict=True):
        k = np.arange(1, same.shape[1] + 1)
        precision = same.cumsum(1) / k
        for c, name in enumerate(classes):
            axes.plot(k, precision[label == c].mean(0), color=COLOURS[c % len(COLOURS)], label=name)
        axes.plot(k, precision.mean(0), color=INK, linewidth=2, label="all")
        axes.axhline(1 / len(classes), color=GREY, linestyle="--", linewidth=1)
        axes.set(xscale="log", ylim=(0, 1), title=direction, xlabel="k", ylabel="precision@k")
        tidy(axes)
    panels[0, 0].legend(fontsize=7, frameon=False)
    return figure
