"""The forest plot: each arm's difference from the reference, with intervals and seeds."""

from __future__ import annotations

import textwrap
from typing import Any

from scripts.comparison.definition import Metric
from scripts.comparison.outcomes.drawing import Drawing
from scripts.comparison.outcomes.results import Results
from scripts.comparison.statistics import Difference

_PAIRED, _UNPAIRED = "#1f5f99", "#999999"


def forest_plot(results: Results) -> Drawing:
    """Return the plot: a panel a metric, a row an arm, the reference at zero.

    Where differences cannot be formed, as of arms of which only summaries are left, the panel shows the arms'
    means less the reference's without intervals.

    Args:
        results: What is drawn.
    """
    metrics, lines = results.comparison.metrics, results.comparison.lines
    columns = min(len(metrics), 4 if len(metrics) <= 4 else 3)
    rows = -(-len(metrics) // columns)
    height = rows * max(2.2, 1.1 + 0.27 * len(lines)) + 0.6
    drawing = Drawing.blank("forest", 3.6 * columns + 1.2, height)
    grid = drawing.figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis in grid.flat[len(metrics) :]:
        axis.axis("off")
    for axis, metric in zip(grid.flat, metrics, strict=False):
        _panel(drawing, axis, results, metric)
    grid[0, 0].set_yticks(range(len(lines)), [arm.title for arm in lines.values()], fontsize=8)
    grid[0, 0].set_ylim(len(lines) - 0.5, -0.5)  # shared: the first arm on top, as in the table
    drawing.figure.suptitle(
        f"{results.comparison.title}: difference from {lines[results.comparison.reference].title}. "
        "Line: 95 % interval over test patients\n(blue: paired; grey: as if independent, too wide). "
        "Thin line: over patients and seeds, cut at the frame. Dots: seeds. Cross: not run.",
        fontsize=9,
    )
    return drawing


def _panel(drawing: Drawing, axis: Any, results: Results, metric: Metric) -> None:
    comparison = results.comparison
    found = results.differences(metric)
    base = results.summaries[comparison.reference].get(metric.column)
    axis.axvline(0, color="k", linewidth=0.8)
    shown = [0.0]
    for place, name in enumerate(comparison.lines):
        title = comparison.lines[name].title
        summary = results.summaries[name].get(metric.column)
        if name == comparison.reference:
            point = axis.plot(0, place, "D", color="k", markersize=4)
            drawing.tell(point, f"{title}: {summary.text() if summary else 'not run'}")
        elif name in found:
            known = found[name]
            _row(drawing, axis, place, known, f"{title}: {_told(known)}")
            shown += [*known.by_seed.values(), known.mean, known.low or 0.0, known.high or 0.0]
        elif summary is not None and base is not None:
            point = axis.plot(
                summary.mean - base.mean, place, "s", color=_UNPAIRED, markersize=5, fillstyle="none"
            )
            drawing.tell(point, f"{title}: {summary.text()}")
            shown.append(summary.mean - base.mean)
        else:
            drawing.tell(axis.plot(0, place, "x", color="#cc3311", markersize=6), f"{title}: not run")
    span = max(shown) - min(shown) or 1.0  # with two seeds the thin line may be longer than all the rest
    axis.set_xlim(min(shown) - 0.15 * span, max(shown) + 0.15 * span)
    arrow = {True: " (more is better)", False: " (less is better)", None: ""}[metric.higher]
    value = [] if base is None else [f"{comparison.lines[comparison.reference].title}: {base.mean:.3f}"]
    label = "\n".join([*textwrap.wrap(f"{metric.column}{arrow}", 40), *value])
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3, axis="x")


def _row(drawing: Drawing, axis: Any, place: int, known: Difference, text: str) -> None:
    colour = _PAIRED if known.paired else _UNPAIRED
    if known.low_seeds is not None and known.high_seeds is not None:
        line = axis.plot((known.low_seeds, known.high_seeds), (place, place), color=colour, linewidth=0.8)
        drawing.tell(line, text)
    if known.low is not None and known.high is not None:
        line = axis.plot((known.low, known.high), (place, place), color=colour, linewidth=3, alpha=0.6)
        drawing.tell(line, text)
    seeds = list(known.by_seed.values())
    axis.plot(seeds, [place + 0.22] * len(seeds), ".", color="k", markersize=4)
    drawing.tell(axis.plot(known.mean, place, "s", color=colour, markersize=5), text)


def _told(known: Difference) -> str:
    text = f"{known.mean:+.3f}"
    if known.low is not None and known.high is not None:
        text += f", over patients [{known.low:+.3f}, {known.high:+.3f}]"
    if known.low_seeds is not None and known.high_seeds is not None:
        text += f", over patients and seeds [{known.low_seeds:+.3f}, {known.high_seeds:+.3f}]"
    return text
