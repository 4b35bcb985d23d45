"""Picture of a linear probe: what fewer labels cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callbacks.base.evaluation import Result
from callbacks.drawing.pictures import COLOURS, GREY, blank_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def label_curve(result: Result) -> Figure:
    """Mean AUROC by share of the labels, with intervals, beside the floors that all labels give.

    Args:
        result: Of `LinearProbe`.
    """
    figure = blank_figure(6.5, 4.4, "linear probe on frozen features")
    axes = figure.subplots()
    means = {float(share.rstrip("%")): f"{share}/auroc_macro" for share in result.details["fractions"]}
    means[100.0] = "auroc_macro"
    drawn = sorted((share, key) for share, key in means.items() if key in result.metrics)
    shares = [share for share, _ in drawn]
    axes.plot(shares, [result.metrics[key] for _, key in drawn], "o-", color=COLOURS[1], label="features")
    for share, key in drawn:
        if key in result.details["intervals"]:
            axes.vlines(share, *result.details["intervals"][key], color=COLOURS[1], linewidth=1)
    floors = [key.removeprefix("minus_") for key in result.metrics if key.startswith("minus_")]
    for floor, colour in zip(floors, COLOURS[2:], strict=False):
        height = result.metrics[f"{floor}/auroc_macro"]
        axes.axhline(height, color=colour, linewidth=1, linestyle=":", label=f"{floor}, all labels")
    axes.axhline(0.5, color=GREY, linewidth=1, linestyle="--", label="chance")
    axes.set(xscale="log", xlabel="% of the patients with labels", ylabel="mean AUROC")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    return figure
