"""ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.charts import LineChart
from callbacks.drawing.pictures import GREY, blank_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roc_and_pr(
    scores: np.ndarray, labels: np.ndarray, names: Sequence[str], metrics: Mapping[str, float]
) -> Figure:
    """Draw both curves of every concept that is judged, the best AUROC first in the legend.

    Args:
        scores: ``(n, concept)``, higher means more likely present.
        labels: ``(n, concept)`` of 1, 0 and NaN.
        names: Concepts, in column order.
        metrics: The figures of these scores, ``auroc/<concept>`` and ``ap/<concept>``.
    """
    from matplotlib import colormaps

    judged = sorted(
        (name for name in names if f"auroc/{name}" in metrics),
        key=lambda name: -metrics[f"auroc/{name}"],
    )
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(judged)))
    figure = blank_figure(12, 5.2, "ROC and precision-recall curves")
    roc, pr = figure.subplots(1, 2)
    for name, colour in zip(judged, colours, strict=True):
        column = list(names).index(name)
        false, true, precision = curves(scores[:, column], labels[:, column])
        area, average = (metrics[f"{measure}/{name}"] for measure in ("auroc", "ap"))
        label = f"{name.replace('_', ' ')} {area:.2f} / {average:.2f}"
        roc.plot(false, true, color=colour, linewidth=1, label=label)
        pr.step(true, precision, color=colour, linewidth=1, where="pre")
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    roc.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    pr.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    for axes in (roc, pr):
        tidy(axes)
    figure.legend(
        *roc.get_legend_handles_labels(),
        fontsize=6,
        loc="outside right upper",
        title="AUROC / AP",
        frameon=False,
    )
    return figure


def roc_chart(
    scores: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    metrics: Mapping[str, float],
    points: int = 200,
) -> LineChart:
    """Return the ROC curves of every concept that is judged, for loggers that draw themselves.

    Args:
        scores: ``(n, concept)``, higher means more likely present.
        labels: ``(n, concept)`` of 1, 0 and NaN.
        names: Concepts, in column order.
        metrics: The figures of these scores, ``auroc/<concept>``.
        points: On a curve at most, evenly over its thresholds.
    """
    lines = {}
    for column, name in enumerate(names):
        if f"auroc/{name}" in metrics:
            false, true, _ = curves(scores[:, column], labels[:, column])
            kept = np.unique(np.linspace(0, len(false) - 1, points).round().astype(int))
            lines[name] = np.stack([false[kept], true[kept]], 1)
    return LineChart("ROC", "false positive rate", "true positive rate", lines)


def curves(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rate, true positive rate and precision from the strictest threshold to the laxest.

    Args:
        scores: ``(n,)``.
        labels: ``(n,)`` of 1, 0 and NaN, with at least one of 1 and of 0.
    """
    known = ~np.isnan(labels)
    order = np.argsort(-scores[known], kind="stable")
    ranked, positive = scores[known][order], labels[known][order] == 1
    last = np.append(ranked[1:] != ranked[:-1], True)  # ties share a threshold
    true, false = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    start = np.zeros(1)
    precision = np.concatenate([np.ones(1), true / (true + false)])
    return np.concatenate([start, false / false[-1]]), np.concatenate([start, true / true[-1]]), precision
