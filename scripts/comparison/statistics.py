"""Means over seeds, paired differences of arms, and p values corrected for the number of contrasts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.comparison.record import RunRecord

LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """A metric of an arm over its seeds.

    Attributes:
        count: Number of seeds.
        mean: Over them.
        deviation: Their standard deviation; None of a single seed.
        low: The lowest bound of any seed's bootstrap interval over the test patients.
        high: The highest.
        values: One a seed; empty where only the summary is left.
    """

    count: int
    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[RunRecord], key: str) -> Summary | None:
        """Return the summary of a metric over runs; None where no run has it."""
        figures = [run.figures[key] for run in runs if key in run.figures]
        if not figures:
            return None
        values = tuple(value for value, _, _ in figures)
        lows = [low for _, low, _ in figures if low is not None]
        highs = [high for _, _, high in figures if high is not None]
        return cls(
            len(values),
            statistics.mean(values),
            statistics.stdev(values) if len(values) > 1 else None,
            min(lows) if lows else None,
            max(highs) if highs else None,
            values,
        )

    def text(self) -> str:
        """Return mean ± sd [low, high], as far as known."""
        text = f"{self.mean:.3f}"
        if self.deviation is not None:
            text += f" ± {self.deviation:.3f}"
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.3f}, {self.high:.3f}]"
        return text


@dataclass(frozen=True)
class Difference:
    """An arm's metric less another arm's.

    Attributes:
        mean: Over the seeds that both arms have; of all seeds of each where they have none in common.
        by_seed: Seed → difference.
        low: Lower bound of the 95 % interval over the test patients.
        high: Upper bound.
        paired: Whether the interval is that of differences on the same drawn patients.
        p: Two-sided, from the same draws; None where they are not paired.
        low_seeds: Lower bound of a 95 % interval over the test patients and the seeds; None of a single seed.
        high_seeds: Upper bound.
        of_patients: Standard error over the test patients.
    """

    mean: float
    by_seed: Mapping[int, float]
    low: float | None
    high: float | None
    paired: bool
    p: float | None = None
    low_seeds: float | None = None
    high_seeds: float | None = None
    of_patients: float | None = None


def difference(runs: Sequence[RunRecord], others: Sequence[RunRecord], key: str) -> Difference | None:
    """Compare two arms in one metric.

    Where both were tested on the same patients with the same bootstrap, each resample gives a difference a
    seed. Their mean over the seeds has the interval and the p value. Seeds also differ in what they train;
    `Difference.low_seeds` counts that in: the variance of the draws plus that of the seeds' mean, with a t
    quantile whose degrees of freedom are Welch's and Satterthwaite's. Where draws are missing, the two arms'
    own intervals are combined as if they were independent (Newcombe's square-and-add), which is too wide.

    Args:
        runs: Those of the arm.
        others: Those of the arm that is subtracted.
        key: The metric.

    Returns:
        The difference; None where an arm has no such figure.
    """
    one = {run.seed: run for run in runs if key in run.figures}
    two = {run.seed: run for run in others if key in run.figures}
    if not one or not two:
        return None
    seeds = sorted(one.keys() & two.keys())
    by_seed = {seed: one[seed].figures[key][0] - two[seed].figures[key][0] for seed in seeds}
    if seeds and all(_same_sample(one[seed], two[seed], key) for seed in seeds):
        drawn = [one[seed].draws.values[key] - two[seed].draws.values[key] for seed in seeds]
        return _paired(by_seed, np.nanmean(np.stack(drawn), 0))
    if seeds:
        one, two = ({seed: arm[seed] for seed in seeds} for arm in (one, two))
    return _unpaired(by_seed, _of(one, key), _of(two, key))


def _same_sample(run: RunRecord, other: RunRecord, key: str) -> bool:
    samples = [r.draws.sample.get(key) for r in (run, other)]
    return samples[0] is not None and samples[0] == samples[1]


def _paired(by_seed: Mapping[int, float], draws: np.ndarray) -> Difference:
    draws = draws[np.isfinite(draws)]
    mean = statistics.mean(by_seed.values())
    tail = 50 * (1 - LEVEL)
    low, high = (float(bound) for bound in np.percentile(draws, [tail, 100 - tail]))
    # Counting the difference itself as one more draw keeps p above 0 (Davison and Hinkley 1997, section 4.2).
    least = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * float(least + 1) / (len(draws) + 1))
    of_patients = float(draws.var(ddof=1))
    bounds = _with_seeds(mean, by_seed, of_patients)
    return Difference(mean, by_seed, low, high, True, p, *bounds, math.sqrt(of_patients))


def _with_seeds(
    mean: float, by_seed: Mapping[int, float], of_patients: float
) -> tuple[float | None, float | None]:
    """Return the interval over patients and seeds; two Nones where there is a single seed."""
    if len(by_seed) < 2:
        return None, None
    from scipy.stats import t

    of_seeds = statistics.variance(by_seed.values()) / len(by_seed)
    total = of_seeds + of_patients
    freedom = total**2 / (of_seeds**2 / (len(by_seed) - 1)) if of_seeds > 0 else math.inf
    reach = float(t.ppf(1 - (1 - LEVEL) / 2, freedom)) * math.sqrt(total)
    return mean - reach, mean + reach


def _of(runs: Mapping[int, RunRecord], key: str) -> list[tuple[float, float | None, float | None]]:
    return [run.figures[key] for run in runs.values()]


def _unpaired(
    by_seed: Mapping[int, float],
    one: Sequence[tuple[float, float | None, float | None]],
    two: Sequence[tuple[float, float | None, float | None]],
) -> Difference:
    a, low_a, high_a = _mean_figure(one)
    b, low_b, high_b = _mean_figure(two)
    if low_a is None or high_a is None or low_b is None or high_b is None:
        return Difference(a - b, by_seed, None, None, False)
    low = a - b - math.hypot(a - low_a, high_b - b)
    high = a - b + math.hypot(high_a - a, b - low_b)
    of_patients = (high - low) / (2 * statistics.NormalDist().inv_cdf((1 + LEVEL) / 2))
    bounds = _with_seeds(a - b, by_seed, of_patients**2)
    return Difference(a - b, by_seed, low, high, False, None, *bounds, of_patients)


def _mean_figure(
    figures: Sequence[tuple[float, float | None, float | None]],
) -> tuple[float, float | None, float | None]:
    """Mean value and mean bounds: of one test set, seeds do not make the interval narrower."""
    values, lows, highs = zip(*figures, strict=True)
    known = all(bound is not None for bound in (*lows, *highs))
    return (
        statistics.mean(values),
        statistics.mean(lows) if known else None,
        statistics.mean(highs) if known else None,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979, Scandinavian Journal of Statistics 6).

    Args:
        values: p values in any order.
    """
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected
