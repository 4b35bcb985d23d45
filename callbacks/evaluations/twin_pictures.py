"""Pictures of the counterfactual test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from callbacks.drawing.pictures import (
    COLOURS,
    GREY,
    INK,
    PicturedPair,
    blank_figure,
    show_pair,
    tidy,
    write_text,
)
from callbacks.evaluations.twin_comparison import TwinComparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def twin_bars(metrics: Mapping[str, float], details: Mapping[str, Any]) -> Figure:
    """Accuracy by finding with intervals and chance, and which report was chosen for which image."""
    names = [key.removeprefix("accuracy/") for key in metrics if key.startswith("accuracy/")]
    names.sort(key=lambda name: metrics[f"accuracy/{name}"])
    figure = blank_figure(9.5, 2.4 + 0.26 * len(names), "counterfactual twins: the right report chosen")
    bars, matrix = figure.subplots(1, 2, width_ratios=[1.6, 1])
    labels = [*names, "all findings"]
    for y, name in enumerate(labels):
        key = f"accuracy/{name}" if y < len(names) else "accuracy"
        bars.barh(y, metrics[key], 0.75, color=COLOURS[1], alpha=0.85)
        if key in details["intervals"]:
            bars.hlines(y, *details["intervals"][key], color=INK, linewidth=1)
    bars.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    bars.set(xlim=(0, 1), xlabel="accuracy (dashed: chance)")
    bars.set_yticks(range(len(labels)), [name.replace("_", " ") for name in labels], fontsize=8)
    tidy(bars)
    confusion = np.array(details["confusion"])
    matrix.imshow(confusion, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(confusion):
        colour = "white" if value > 0.6 else INK
        matrix.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    for axis, title in ((matrix.xaxis, "report chosen"), (matrix.yaxis, "image shown")):
        axis.set_ticks([0, 1], ["with", "without"], fontsize=8)
        axis.set_label_text(title, fontsize=8)
    matrix.set_title(f"{details['twin_pairs']} twin pairs", fontsize=9, color=INK)
    return figure


def twin_sheet(twins: Sequence[TwinComparison], names: Sequence[str]) -> Figure:
    """One row a pair: the image and its report, the twin and its report, and where the two images differ.

    A report in green was chosen for the image beside it.
    """
    figure = blank_figure(13, 2.7 * len(twins) + 0.4, "counterfactual twins (green: the right report chosen)")
    grid = figure.subplots(len(twins), 5, squeeze=False, width_ratios=[1, 1.15, 1, 1.15, 1])
    for axes in grid.flat:
        axes.axis("off")
    for row, twin in zip(grid, twins, strict=True):
        assert twin.images is not None and twin.reports is not None
        name = names[twin.concept].replace("_", " ")
        for side, title in enumerate((f"with {name}", f"without {name}")):
            own, other = twin.similarity[side, side], twin.similarity[side, 1 - side]
            colour = "#1a7f37" if own > other else "#b42318"
            show_pair(row[2 * side], PicturedPair(twin.images[side], "", title))
            heading = f"own {own:.3f}, twin's {other:.3f}"
            write_text(
                row[2 * side + 1], twin.reports[side], width=42, lines=18, title=heading, colour=colour
            )
        difference = twin.images[0] - twin.images[1]
        limit = max(float(np.abs(difference).max()), 1e-6)
        row[4].imshow(difference, cmap="RdBu_r", vmin=-limit, vmax=limit)
        row[4].set_title("difference", fontsize=7, color=GREY)
    return figure
