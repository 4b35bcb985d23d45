"""The forest plot: each arm's difference from the reference, with intervals and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.comparison.definition import Metric
from synthesis.files import replaced

if TYPE_CHECKING:
    from scripts.comparison.report import Results

_PAIRED, _UNPAIRED = "#1f5f99", "#999999"


def draw_forest(results: Results, out: Path) -> None:
    """Draw ``forest.png`` and ``forest.pdf``: a panel a metric, a row an arm, the reference at zero.

    Where differences cannot be formed, as of arms of which only summaries are left, the panel shows the arms'
    means less the reference's without intervals.

    Args:
        results: What is drawn.
        out: Directory of the pictures.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics, lines = results.comparison.metrics, results.comparison.lines
    columns = min(len(metrics), 4 if len(metrics) <= 4 else 3)
    rows = -(-len(metrics) // columns)
    size = (3.6 * columns + 1.2, rows * max(2.2, 1.1 + 0.27 * len(lines)) + 0.6)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis in grid.flat[len(metrics) :]:
        axis.axis("off")
    for axis, metric in zip(grid.flat, metrics, strict=False):
        _panel(axis, results, metric)
    grid[0, 0].set_yticks(range(len(lines)), [arm.title for arm in lines.values()], fontsize=8)
    grid[0, 0].set_ylim(len(lines) - 0.5, -0.5)  # shared: the first arm on top, as in the table
    figure.suptitle(
        f"{results.comparison.title}: difference from {lines[results.comparison.reference].title}. "
        "Line: 95 % interval over test patients\n(blue: paired; grey: as if independent, too wide). "
        "Thin line: over patients and seeds, cut at the frame. Dots: seeds. Cross: not run.",
        fontsize=9,
    )
    for suffix in ("png", "pdf"):
        dated = {"CreationDate": None} if suffix == "pdf" else None  # the same picture is the same file
        with replaced(out / f"forest.{suffix}") as partial:
            figure.savefig(partial, format=suffix, dpi=120, metadata=dated)


def _panel(axis: Any, results: Results, metric: Metric) -> None:
    comparison = results.comparison
    found = results.differences(metric)
    base = results.summaries[comparison.reference].get(metric.column)
    axis.axvline(0, color="k", linewidth=0.8)
    shown = [0.0]
    for place, name in enumerate(comparison.lines):
        summary = results.summaries[name].get(metric.column)
        if name == comparison.reference:
            axis.plot(0, place, "D", color="k", markersize=4)
        elif name in found:
            known = found[name]
            colour = _PAIRED if known.paired else _UNPAIRED
            if known.low_seeds is not None and known.high_seeds is not None:
                axis.plot((known.low_seeds, known.high_seeds), (place, place), color=colour, linewidth=0.8)
            if known.low is not None and known.high is not None:
                axis.plot((known.low, known.high), (place, place), color=colour, linewidth=3, alpha=0.6)
            seeds = list(known.by_seed.values())
            axis.plot(seeds, [place + 0.22] * len(seeds), ".", color="k", markersize=4)
            axis.plot(known.mean, place, "s", color=colour, markersize=5)
            shown += [*seeds, known.mean, known.low or 0.0, known.high or 0.0]
        elif summary is not None and base is not None:
            axis.plot(summary.mean - base.mean, place, "s", color=_UNPAIRED, markersize=5, fillstyle="none")
            shown.append(summary.mean - base.mean)
        else:
            axis.plot(0, place, "x", color="#cc3311", markersize=6)
    span = max(shown) - min(shown) or 1.0  # with two seeds the thin line may be longer than all the rest
    axis.set_xlim(min(shown) - 0.15 * span, max(shown) + 0.15 * span)
    arrow = {True: " (more is better)", False: " (less is better)", None: ""}[metric.higher]
    value = "" if base is None else f"\n{comparison.lines[comparison.reference].title}: {base.mean:.3f}"
    axis.set_xlabel(f"{metric.column}{arrow}{value}", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3, axis="x")
