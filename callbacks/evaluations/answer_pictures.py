"""Pictures of questions and answers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.pictures import COLOURS, GREY, blank_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def answer_sheet(
    metrics: Mapping[str, float], shown: Sequence[tuple[np.ndarray, str, bool, bool]], columns: int = 6
) -> Figure:
    """Accuracy by kind of question beside the language prior; below it images with what was asked of them.

    Args:
        metrics: ``accuracy/<kind>`` and ``language_prior/<kind>``.
        shown: Image ``(height, width)``, question, right answer, and the answer given.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(2.2 * columns, 2.6 + 2.6 * rows, "closed questions")
    grid = figure.add_gridspec(rows + 1, columns)
    bars = figure.add_subplot(grid[0, :])
    kinds = [name.removeprefix("accuracy/") for name in metrics if name.startswith("accuracy/")]
    place = np.arange(len(kinds))
    for i, measure in enumerate(("accuracy", "language_prior")):
        values = [metrics[f"{measure}/{kind}"] for kind in kinds]
        label = measure.replace("_", " ")
        bars.bar(place + 0.4 * i - 0.2, values, 0.38, color=COLOURS[1 - i], label=label)
    bars.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    bars.set_xticks(place, kinds)
    bars.set_ylim(0, 1)
    bars.legend(fontsize=7, frameon=False)
    tidy(bars)
    for i, (image, question, answer, given) in enumerate(shown):
        axes = figure.add_subplot(grid[1 + i // columns, i % columns])
        axes.axis("off")
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        told = f"{'yes' if given else 'no'} ({'right' if given == answer else 'wrong'})"
        colour = "#1a7f37" if given == answer else "#b42318"
        axes.set_title("\n".join([*textwrap.wrap(question, 30), told]), fontsize=7, color=colour)
    return figure
