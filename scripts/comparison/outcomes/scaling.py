"""Scaling curves of a comparison: error over the number of pairs, a power law, and intervals of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scripts.comparison.outcomes.results import Results
from scripts.comparison.outcomes.scaling_curve import ScalingCurve
from scripts.comparison.outcomes.scaling_law import LEAST_POINTS, Array, ScalingLaw
from scripts.comparison.placeholders import fill
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import LEVEL

DRAWS = 1000
"""Resamples where no run has draws over the patients."""


@dataclass(frozen=True)
class ScalingPoint:
    """An arm on a curve.

    Attributes:
        arm: Its name.
        title: Its title.
        size: How many pairs.
        error: Mean over seeds; NaN where it has not been run.
        seeds: How many.
        draws: The error in each resample of seeds and patients; empty where nothing can be drawn again.
    """

    arm: str
    title: str
    size: float
    error: float
    seeds: int
    draws: Array = field(default_factory=lambda: np.empty(0))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % over the draws; None without any."""
        return _bounds(self.draws)


@dataclass(frozen=True)
class Scaling:
    """A curve with what was found.

    Attributes:
        curve: What was asked.
        points: Its arms in the order of their sizes, those that were not run too.
        reach: What it is to reach, if anything.
        law: Fitted to the points that were run; None where they are too few.
        drawn: Number of the resample → its law; without those that have an error of 0 or none.
    """

    curve: ScalingCurve
    points: Sequence[ScalingPoint]
    reach: ScalingPoint | None = None
    law: ScalingLaw | None = None
    drawn: Mapping[int, ScalingLaw] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The law in words, or why there is none."""
        if self.law is None:
            there = sum(not math.isnan(point.error) for point in self.points)
            return f"{there} of {len(self.points)} sizes were run: a power law takes {LEAST_POINTS}"
        slope = f"{self.law.slope:+.3f}"
        if bounds := self.slope_interval:
            slope += f" [{bounds[0]:+.3f}, {bounds[1]:+.3f}]"
        return f"error = {self.law.factor:.3g} · {self.curve.unit}^slope, slope {slope}"

    @property
    def slope_interval(self) -> tuple[float, float] | None:
        """95 % interval of the slope; None where nothing can be drawn again."""
        return _bounds(np.array([law.slope for law in self.drawn.values()]))

    def times(self) -> tuple[float, tuple[float, float] | None] | None:
        """Return how many times the pairs of `reach` the law takes to its error, with its interval."""
        if self.law is None or self.reach is None or math.isnan(self.reach.error):
            return None
        size = self.reach.size
        errors = dict(enumerate(self.reach.draws))
        drawn = [
            law.size(errors[n]) / size
            for n, law in self.drawn.items()
            if not math.isnan(errors.get(n, math.nan))
        ]
        return self.law.size(self.reach.error) / size, _bounds(np.array(drawn))

    def band(self, sizes: Array) -> tuple[Array, Array] | None:
        """Return the 95 % interval of the law at some sizes; None where nothing can be drawn again."""
        if not self.drawn:
            return None
        tail = 50 * (1 - LEVEL)
        low, high = np.percentile(
            [law.error(sizes) for law in self.drawn.values()], [tail, 100 - tail], axis=0
        )
        return low, high


def _bounds(drawn: Array) -> tuple[float, float] | None:
    """Percentiles that may be infinite: of order statistics, so that nothing is subtracted from infinity."""
    if len(drawn) < 2:
        return None
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail], method="nearest")
    return float(low), float(high)


def scalings(results: Results, variables: Mapping[str, str], seed: int = 0) -> list[Scaling]:
    """Return the curves of a comparison.

    Args:
        results: What the record holds.
        variables: Of the scale, for the sizes.
        seed: Of the resamples of seeds.
    """
    found = []
    for curve in results.comparison.scaling:
        rng = np.random.default_rng(seed)
        sizes = {name: _number(size, variables) for name, size in curve.sizes.items()}
        points = [_point(results, curve, name, size, rng) for name, size in sizes.items()]
        points.sort(key=lambda point: point.size)
        reach = None
        if curve.reach:
            reach = _point(results, curve, curve.reach, _number(curve.reach_size, variables), rng)
        law, drawn = _fit([point for point in points if point.error > 0])
        found.append(Scaling(curve, points, reach, law, drawn))
    return found


def _number(size: str, variables: Mapping[str, str]) -> float:
    text = fill(size, variables)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"scaling: the size {size!r} is {text!r}; give a number over 0")
    return number


def _point(
    results: Results, curve: ScalingCurve, name: str, size: float, rng: np.random.Generator
) -> ScalingPoint:
    metric = results.comparison.metric(curve.metric)
    runs = [run for run in results.runs.get(name, ()) if metric.key in run.figures]
    title = results.comparison.lines[name].title
    if not runs:
        return ScalingPoint(name, title, size, math.nan, 0)

    def error(value: Array) -> Array:
        return value if metric.higher is False else 1 - value

    values = np.array([run.figures[metric.key][0] for run in runs])
    mean = float(error(values.mean()))
    return ScalingPoint(name, title, size, mean, len(runs), error(_draws(runs, metric.key, values, rng)))


def _draws(runs: Sequence[RunRecord], key: str, values: Array, rng: np.random.Generator) -> Array:
    """Return the mean over seeds in resamples of seeds and patients.

    The draws over the patients are those of the record, the same patients for all arms; what is drawn of the
    seeds is added to them.
    """
    kept = [run.draws.values[key] for run in runs if key in run.draws.values]
    samples = {run.draws.sample.get(key) for run in runs}
    of_patients = np.mean(kept, 0) if len(kept) == len(runs) and len(samples) == 1 else None
    n = len(values)
    if n < 2:
        return np.empty(0) if of_patients is None else of_patients
    size = DRAWS if of_patients is None else len(of_patients)
    drawn = values[rng.integers(0, n, (size, n))].mean(1) - values.mean()
    centre = values.mean() if of_patients is None else of_patients
    return centre + drawn * math.sqrt(n / (n - 1))


def _fit(points: Sequence[ScalingPoint]) -> tuple[ScalingLaw | None, dict[int, ScalingLaw]]:
    """Return the law of the points and those of their resamples, by number."""
    if len({point.size for point in points}) < LEAST_POINTS:
        return None, {}
    sizes = [point.size for point in points]
    law = ScalingLaw.fit(sizes, [point.error for point in points])
    count = min(len(point.draws) for point in points)
    rows = np.stack([point.draws[:count] for point in points], 1)
    whole = np.flatnonzero((np.isfinite(rows) & (rows > 0)).all(1))
    return law, {int(n): ScalingLaw.fit(sizes, rows[n]) for n in whole}
