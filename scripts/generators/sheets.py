"""Contact sheets of generators: beside the simulator, and beside what they may have memorised."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from synthesis.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sheet(columns: Mapping[str, Tensor], prompts: Sequence[str], heading: str, path: Path) -> None:
    """Draw a row a prompt: its text, then the images of each column.

    Args:
        columns: Title → images ``(prompt, height, width)`` in [0, 1].
        prompts: One a row.
        heading: Line above all.
        path: Where the picture goes; the suffix says in which format.
    """
    figure = _figure(2.6 + 1.35 * len(columns), 1.4 * len(prompts) + 0.5, heading)
    grid = figure.subplots(
        len(prompts), 1 + len(columns), squeeze=False, width_ratios=[1.9] + [1.0] * len(columns)
    )
    for axes in grid.flat:
        axes.axis("off")
    for row, prompt in enumerate(prompts):
        lines = textwrap.wrap(prompt, 38)
        text = "\n".join(lines if len(lines) <= 8 else [*lines[:7], "…"])
        grid[row, 0].text(0, 1, text, fontsize=6.5, va="top", parse_math=False)
        for place, (title, images) in enumerate(columns.items(), start=1):
            axes = grid[row, place]
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if row == 0:
                axes.set_title(title, fontsize=8)
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=110, format=path.suffix[1:])


def _figure(width: float, height: float, heading: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=9, x=0.01, ha="left")
    return figure
