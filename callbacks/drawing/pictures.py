"""Pictures of pairs, retrievals, curves and concepts: plain functions from arrays to matplotlib figures.

Figures are made without pyplot: it keeps every figure alive and needs a display where none may be.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where a title stands over an axes without ticks: matplotlib finds the same, in a third of a sheet's time.
TITLE = 1.0
COLOURS = ("#ff7f2a", "#4da3ff", "#3fc46a", "#ff5cc0", "#ffd92f", "#17becf")
INK, GREY = "#222222", "#888888"
CHANCE = 0.5  # of an AUROC


@dataclass(frozen=True)
class PicturedPair:
    """One sample as it is shown.

    Attributes:
        image: ``(height, width)`` in [0, 1].
        text: Its report, or for image-only data its labels in words.
        title: Short line above the image.
        masks: Name → ``(height, width)`` bool, outlined in the image.
    """

    image: np.ndarray
    text: str
    title: str = ""
    masks: Sequence[tuple[str, np.ndarray]] = ()


@dataclass(frozen=True)
class Retrieved:
    """A query image and the reports retrieved for it.

    Attributes:
        query: The image with its own report.
        rank: Where its own report came, from 1.
        candidates: Among how many.
        found: ``(similarity, report, whether it is the own one's text)``, best first.
    """

    query: PicturedPair
    rank: int
    candidates: int
    found: Sequence[tuple[float, str, bool]] = field(default_factory=tuple)


def pair_sheet(pairs: Sequence[PicturedPair], heading: str, columns: int = 2) -> Figure:
    """Draw images with their reports beside them, two pairs a row."""
    rows = -(-len(pairs) // columns)
    figure = blank_figure(6.0 * columns, 2.9 * rows + 0.4, heading)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1.15] * columns)
    for axes in grid.flat:
        axes.axis("off")
    for i, pair in enumerate(pairs):
        row, column = divmod(i, columns)
        show_pair(grid[row, 2 * column], pair)
        write_text(grid[row, 2 * column + 1], pair.text, width=46, lines=19)
    return figure


def retrieval_sheet(strips: Sequence[Retrieved], heading: str) -> Figure:
    """Draw one row a query: image, own report, then the retrieved reports, the right one in green."""
    width = max((len(strip.found) for strip in strips), default=0)
    figure = blank_figure(2.6 + 2.3 * (width + 1), 2.6 * len(strips) + 0.4, heading)
    grid = figure.subplots(len(strips), width + 2, squeeze=False, width_ratios=[1.15] + [1.0] * (width + 1))
    for axes in grid.flat:
        axes.axis("off")
    for row, strip in zip(grid, strips, strict=True):
        show_pair(row[0], strip.query)
        own = f"own report: rank {strip.rank} of {strip.candidates}"
        write_text(row[1], strip.query.text, width=37, lines=19, title=own, colour=COLOURS[1])
        for axes, (similarity, text, right) in zip(row[2:], strip.found, strict=False):
            colour = "#1a7f37" if right else INK
            write_text(axes, text, width=37, lines=19, title=f"similarity {similarity:.2f}", colour=colour)
    return figure


def metric_curves(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], heading: str) -> Figure:
    """Draw a panel for each group of metrics.

    Args:
        panels: Panel title → metric name → points ``(step, value)``.
        heading: Line above all.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = blank_figure(6.0 * columns, 3.4 * rows + 0.4, heading)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for name, points in curves.items():
            x, y = np.array(points, float).T
            axes.plot(x, y, marker="o" if len(x) <= 30 else None, markersize=3, linewidth=1.4, label=name)
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xlabel("optimiser step", fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=7, frameon=False)
        tidy(axes)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    return figure


@dataclass(frozen=True)
class ConceptBars:
    """One method over concepts: ``value[concept]`` and, where known, its interval ``[low, high]``."""

    value: Mapping[str, float]
    interval: Mapping[str, Sequence[float]] = field(default_factory=dict)


def concept_bars(
    stages: Mapping[str, Mapping[str, ConceptBars]], supervised: Mapping[str, float], heading: str
) -> Figure:
    """Draw AUROC bars from chance: a panel a stage, a colour a method; intervals, the supervised tower."""
    names = list(
        dict.fromkeys(name for bars in stages.values() for bar in bars.values() for name in bar.value)
    )
    figure = blank_figure(2.6 + 4.2 * len(stages), 1.2 + 0.32 * len(names), heading)
    grid = figure.subplots(1, len(stages), squeeze=False, sharey=True)
    place = np.arange(len(names))[::-1]
    for axes, (stage, bars) in zip(grid.flat, stages.items(), strict=True):
        height = 0.8 / max(1, len(bars))
        for j, (method, bar) in enumerate(bars.items()):
            y = place + 0.4 - height * (j + 0.5)
            value = np.array([bar.value.get(name, np.nan) for name in names])
            axes.barh(
                y, value - CHANCE, height, left=CHANCE, color=COLOURS[(j + 1) % 6], alpha=0.85, label=method
            )
            spans = np.array([bar.interval.get(name, (np.nan, np.nan)) for name in names])
            axes.hlines(y, spans[:, 0], spans[:, 1], color=INK, linewidth=1)
        if marks := [
            (supervised[name], y) for name, y in zip(names, place, strict=True) if name in supervised
        ]:
            axes.plot(*zip(*marks, strict=True), "k|", markersize=9, markeredgewidth=2, label="supervised")
        axes.axvline(CHANCE, color=INK, linewidth=1, label="chance")
        ends = [low for bar in bars.values() for low, _ in bar.interval.values()]
        ends += [end for bar in bars.values() for end in bar.value.values()]
        lowest = min(0.2, *ends)  # no bar and no interval is cut
        axes.set(xlim=(lowest, 1.0), ylim=(-0.6, len(names) - 0.4), title=stage, xlabel="AUROC")
        axes.set_yticks(place, [name.replace("_", " ") for name in names], fontsize=8)
        tidy(axes)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def blank_figure(width: float, height: float, heading: str) -> Figure:
    """Return an empty figure of some inches with a heading, without pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=11, color=INK, x=0.01, ha="left")
    return figure


def show_pair(axes: Axes, pair: PicturedPair) -> None:
    """Show an image with its title and the outlines of its masks."""
    from matplotlib.patheffects import withStroke

    axes.imshow(pair.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for i, (name, mask) in enumerate(pair.masks):
        colour = COLOURS[i % len(COLOURS)]
        if mask.any():
            # The zero border closes the outline of a mask that reaches the edge of the image.
            framed = np.pad(mask, 1).astype(float)
            span = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
            axes.contour(*span, framed, levels=[0.5], colors=[colour], linewidths=1)
        axes.annotate(
            name.replace("_", " "),
            (0, 1),
            xytext=(2, -8 * i - 3),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=7,
            weight="bold",
            va="top",
            path_effects=[withStroke(linewidth=1, foreground="black")],
        )
    axes.set_xlim(-0.5, pair.image.shape[1] - 0.5)
    axes.set_ylim(pair.image.shape[0] - 0.5, -0.5)
    axes.set_title(pair.title, fontsize=7, color=GREY, y=TITLE)


def write_text(axes: Axes, text: str, width: int, lines: int, title: str = "", colour: str = INK) -> None:
    """Write a text of at most so many lines of so many letters, its IMPRESSION on a line of its own."""
    sections = text.replace(" IMPRESSION:", "\nIMPRESSION:")
    wrapped = [
        line for paragraph in sections.splitlines() for line in textwrap.wrap(paragraph, width) or [""]
    ]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], "…"]
    body = "\n".join(wrapped)
    axes.text(
        0,
        1,
        body,
        fontsize=6.5,
        va="top",
        ha="left",
        color=colour,
        transform=axes.transAxes,
        parse_math=False,
    )
    axes.set_title(title, fontsize=7, color=colour, loc="left", y=TITLE)


def tidy(axes: Axes) -> None:
    """Light axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(alpha=0.25)
