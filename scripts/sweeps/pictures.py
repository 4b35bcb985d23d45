"""Pictures of a sweep: a line a run, a panel a parameter, and how much each parameter decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from callbacks.drawing.pictures import COLOURS, GREY, INK, blank_figure, tidy
from scripts.comparison.outcomes.drawing import Drawing
from scripts.sweeps.ranking import figure as figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_LEAST = 6  # complete runs, for importances
_EXPLAINED = "share by PED-ANOVA (arXiv 2304.10255): how far the best runs' values differ from all"


class _Axis:
    """Where the values of a parameter lie on an axis from 0 to 1, and which are named there.

    Args:
        distribution: The parameter's.
        values: Those of all runs.
    """

    def __init__(self, distribution: BaseDistribution, values: Sequence[Any]) -> None:
        self.log = bool(getattr(distribution, "log", False))
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        self.choices = (
            None if numbers else list(dict.fromkeys(map(str, getattr(distribution, "choices", values))))
        )
        if numbers and not self.log and hasattr(distribution, "choices"):
            low, high = min(values), max(values)
            self.log = low > 0 and high >= 10 * low
        self.names = sorted(set(values)) if numbers and len(set(values)) <= 6 else None

    def number(self, value: Any) -> float:
        """Return where a value lies, in the parameter's own unit, its logarithm or its place."""
        if self.choices is not None:
            return float(self.choices.index(str(value)))
        return float(np.log10(value) if self.log else value)

    def ticks(self, low: float, high: float) -> dict[float, str]:
        """Return what is written between two of these numbers."""
        if self.choices is not None:
            return {float(place): _short(choice) for place, choice in enumerate(self.choices)}
        if self.names is not None:
            return {self.number(name): f"{name:g}" for name in self.names}
        places = np.linspace(low, high, 5)
        return {float(place): f"{10**place if self.log else place:.2g}" for place in places}


def draw_parallel(trials: Sequence[FrozenTrial], metric: str, heading: str, out: Path) -> None:
    """Draw ``parallel``: a line a run through its values to its figure; dark is good.

    Args:
        trials: Runs that have ended, the best first.
        metric: The name of the figure.
        heading: Over the picture.
        out: Directory of the picture.
    """
    from matplotlib import colormaps

    names = _varied(trials)
    axes_of = {name: _Axis(trials[0].distributions[name], [t.params[name] for t in trials]) for name in names}
    columns = [[axes_of[name].number(trial.params[name]) for trial in trials] for name in names]
    columns.append([figure_of(trial) for trial in trials])
    bounds = [_bounds(column) for column in columns]
    figure = blank_figure(2.1 * len(columns) + 1.5, 4.2, f"{heading}. Dark: the best; dashed: pruned")
    axes = figure.subplots()
    for place, trial in enumerate(trials):
        heights = [(c[place] - low) / (high - low) for c, (low, high) in zip(columns, bounds, strict=True)]
        colour = colormaps["viridis"](place / max(1, len(trials) - 1))
        dashed = trial.state.name == "PRUNED"
        axes.plot(
            range(len(columns)), heights, color=colour, zorder=-place,
            linewidth=1.0 if dashed else 1.8, linestyle="--" if dashed else "-", alpha=0.6 if dashed else 0.9,
        )  # fmt: skip
    for place, (low, high) in enumerate(bounds):
        axes.axvline(place, color=INK, linewidth=1)
        written = axes_of[names[place]].ticks(low, high) if place < len(names) else _numbers(low, high)
        for number, text in written.items():
            axes.text(
                place + 0.02, (number - low) / (high - low), text, fontsize=7, color=INK, va="center",
                zorder=9,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    axes.set_xticks(range(len(columns)), [*map(_label, names), _label(metric)], fontsize=8)
    axes.set_xlim(-0.1, len(columns) - 0.6)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    Drawing("parallel", figure).write(out)


def draw_slices(trials: Sequence[FrozenTrial], metric: str, heading: str, out: Path) -> None:
    """Draw ``slices``: the figure over each parameter by itself; see `draw_parallel`."""
    names = _varied(trials) or list(trials[0].params)
    rows, wide = -(-len(names) // 4), min(4, len(names))
    figure = blank_figure(3.2 * wide + 0.5, 2.7 * rows + 0.5, f"{heading}. Hollow: pruned")
    grid = figure.subplots(rows, wide, squeeze=False, sharey=True)
    for panel, name in zip(grid.flat, names, strict=False):
        axis = _Axis(trials[0].distributions[name], [trial.params[name] for trial in trials])
        for trial in trials:
            panel.plot(
                axis.number(trial.params[name]), figure_of(trial), "o", markersize=5, color=COLOURS[1],
                fillstyle="none" if trial.state.name == "PRUNED" else "full",
            )  # fmt: skip
        low, high = _bounds([axis.number(trial.params[name]) for trial in trials])
        panel.set_xlim(low - 0.15 * (high - low), high + 0.15 * (high - low))
        ticks = axis.ticks(low, high)
        panel.set_xticks(list(ticks), list(ticks.values()), rotation=30 if axis.choices else 0, fontsize=7)
        panel.set_xlabel(_label(name).replace("\n", "."), fontsize=8)
        tidy(panel)
    for panel in list(grid.flat)[len(names) :]:
        panel.axis("off")
    for row in grid:
        row[0].set_ylabel(_label(metric), fontsize=8)
    Drawing("slices", figure).write(out)


def draw_importance(study: Study, heading: str, out: Path) -> None:
    """Draw ``importance``: how much each parameter decides among complete runs, as far as they tell."""
    from optuna.importance import get_param_importances

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    names = _varied(complete) if len(complete) >= _LEAST else []
    found = get_param_importances(study, params=names) if names else {}
    figure = blank_figure(
        7.5, 1.6 + 0.38 * max(1, len(found)), f"{heading}\n{len(complete)} complete; {_EXPLAINED}"
    )
    axes = figure.subplots()
    if found:
        _bars(axes, found)
    else:
        axes.text(0.5, 0.5, f"too few complete runs to tell ({len(complete)})", ha="center", color=GREY)
        axes.axis("off")
    Drawing("importance", figure).write(out)


def _bars(axes: Axes, found: dict[str, float]) -> None:
    names = list(found)[::-1]
    axes.barh(range(len(names)), [found[name] for name in names], color=COLOURS[1])
    for place, name in enumerate(names):
        axes.text(found[name] + 0.01, place, f"{found[name]:.2f}", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), [_label(name).replace("\n", ".") for name in names])
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("importance", fontsize=8)
    tidy(axes)


def _varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Return the parameters that differ between runs."""
    names = list(trials[0].params) if trials else []
    return [name for name in names if len({str(trial.params[name]) for trial in trials}) > 1]


def _bounds(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = min(numbers), max(numbers)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _numbers(low: float, high: float) -> dict[float, str]:
    return {float(place): f"{place:.3f}" for place in np.linspace(low, high, 5)}


def _label(name: str) -> str:
    """Return the end of a key, which tells it apart, over two lines."""
    parts = [part for part in name.replace("/", ".").split(".") if part != "init_args"]
    return "\n".join(parts[-2:])


def _short(choice: str) -> str:
    """Return a choice as it is written at an axis: of a layer its name, of a class that alone."""
    text = choice.removesuffix(".yaml").rpartition("/")[2] if choice.endswith(".yaml") else choice
    text = text.rpartition(".")[2] if re.fullmatch(r"[a-z_]\w*(\.\w+)+", text) else text
    return text if len(text) <= 24 else f"{text[:23]}…"
