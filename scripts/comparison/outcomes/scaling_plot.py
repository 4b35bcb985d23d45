"""The scaling plot: error over size, both logarithmic, with the law and its band."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.comparison.outcomes.drawing import Drawing
from scripts.comparison.outcomes.scaling import Scaling, ScalingPoint

_RUN, _REACH = "#1f5f99", "#c2571a"


def scaling_plot(found: Sequence[Scaling]) -> Drawing:
    """Return the plot: a panel a curve; sizes that were not run are crosses on the axis.

    Args:
        found: The curves.
    """
    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    drawing = Drawing.blank("scaling", 4.4 * columns, 3.7 * rows + 0.3)
    grid = drawing.figure.subplots(rows, columns, squeeze=False)
    for axis in grid.flat[len(found) :]:
        axis.axis("off")
    for axis, scaling in zip(grid.flat, found, strict=False):
        _panel(drawing, axis, scaling)
    drawing.figure.suptitle(
        "Points: mean over seeds, 95 % interval over patients and seeds. Line and band: power law.",
        fontsize=9,
    )
    return drawing


def _panel(drawing: Drawing, axis: Any, scaling: Scaling) -> None:
    axis.set_xscale("log")
    there = [point for point in scaling.points if point.error > 0]
    if there:
        axis.set_yscale("log")
    if scaling.law is not None:
        sizes = np.geomspace(scaling.points[0].size, scaling.points[-1].size, 50)
        if (band := scaling.band(sizes)) is not None:
            axis.fill_between(sizes, *band, color=_RUN, alpha=0.15, linewidth=0)
        drawing.tell(axis.plot(sizes, scaling.law.error(sizes), color=_RUN, linewidth=1.2), scaling.told)
    for point in there:
        _point(drawing, axis, point, _RUN)
    for point in scaling.points:
        if math.isnan(point.error):
            cross = axis.plot(point.size, 0.02, "x", color="#cc3311", transform=axis.get_xaxis_transform())
            drawing.tell(cross, f"{point.title}: not run")
    if scaling.reach is not None and scaling.reach.error > 0:
        axis.axhline(scaling.reach.error, color=_REACH, linewidth=0.8, linestyle="--")
        _point(drawing, axis, scaling.reach, _REACH)
        axis.annotate(
            scaling.reach.title,
            (scaling.reach.size, scaling.reach.error),
            (4, 5),
            textcoords="offset points",
            fontsize=7,
            color=_REACH,
        )
    ticks = sorted({point.size for point in scaling.points})
    axis.set_xticks(ticks, [f"{size:,.10g}" for size in ticks], rotation=30, fontsize=7)
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_formatter("{x:.3f}")
    axis.yaxis.set_minor_formatter("{x:.3f}")
    axis.tick_params(labelsize=7, which="both")
    axis.set_xlabel(scaling.curve.unit, fontsize=8)
    axis.set_ylabel(f"error: {scaling.curve.metric}", fontsize=8)
    axis.set_title("\n".join(textwrap.wrap(scaling.told, 52)), fontsize=8)
    axis.grid(alpha=0.3, which="both")


def _point(drawing: Drawing, axis: Any, point: ScalingPoint, colour: str) -> None:
    told = f"{point.title}, {point.size:,.10g}: {point.error:.3f}"
    if (bounds := point.interval) is not None:
        told += f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"
        drawing.tell(axis.plot([point.size] * 2, bounds, color=colour, linewidth=1.2), told)
    drawing.tell(axis.plot(point.size, point.error, "o", color=colour, markersize=4), told)
