"""What a comparison could have shown: least differences that its seeds and its test patients tell from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scripts.comparison.definition import Metric
from scripts.comparison.outcomes.results import Results
from scripts.comparison.outcomes.rows import contrast_differences, contrast_name
from scripts.comparison.statistics import LEVEL, Difference
from scripts.comparison.tables import Row

POWER = 0.8
MOST_SEEDS = 1000
_ENDLESS = 10_000.0  # degrees of freedom from which on Student's t is the normal distribution

POWER_NOTE = (
    "Detectable: the least true difference whose 95 % interval over patients and seeds excludes 0 in 80 % of "
    "such runs (noncentral t, Welch's and Satterthwaite's degrees of freedom; not corrected for the number "
    "of contrasts). Sd between seeds: of the difference of two arms, over all pairs of arms of the record "
    "that share seeds. To detect what was seen: the seeds that the difference that was found would take on "
    "these patients; where no number of seeds would do, how many times the patients."
)


@dataclass(frozen=True)
class Power:
    """What tells a difference of two arms from 0.

    Attributes:
        seeds: How many both arms have.
        of_patients: Standard error of the difference over the test patients.
        of_seeds: Standard deviation of the difference between seeds.
    """

    seeds: int
    of_patients: float
    of_seeds: float

    def detectable(self, seeds: float | None = None) -> float:
        """Return the least difference that is detected with `POWER`; infinity for a single seed.

        Args:
            seeds: In place of those that there are; infinity for the patients' part alone.
        """
        n = self.seeds if seeds is None else seeds
        if n < 2:
            return math.inf
        seeds_part = 0.0 if math.isinf(n) else self.of_seeds**2 / n
        total = self.of_patients**2 + seeds_part
        freedom = total**2 / (seeds_part**2 / (n - 1)) if seeds_part > 0 else math.inf
        return math.sqrt(total) * _noncentrality(freedom)

    def seeds_for(self, difference: float) -> float:
        """Return how many seeds detect a difference; infinity where more than `MOST_SEEDS` do not."""
        low, high = 1, MOST_SEEDS
        if self.detectable(high) > abs(difference):
            return math.inf
        while high - low > 1:  # what is detectable falls with each seed
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle) <= abs(difference) else (middle, high)
        return high

    def patients_for(self, difference: float) -> float:
        """Return how many times the test patients detect a difference if seeds do not matter."""
        return (self.detectable(math.inf) / abs(difference)) ** 2 if difference else math.inf


def _noncentrality(freedom: float) -> float:
    """Return the mean of a t statistic, in standard errors, at which a two-sided test has `POWER`."""
    from scipy.optimize import brentq
    from scipy.stats import chi2, norm, t

    tail = (1 - LEVEL) / 2
    if freedom >= _ENDLESS:
        return float(norm.ppf(1 - tail) + norm.ppf(POWER))  # the other tail has some 1e-6 of it
    # The standard error as it would be estimated, at its quantiles: scipy's noncentral t is NaN far out.
    estimated = np.sqrt(chi2.ppf((np.arange(2000) + 0.5) / 2000, freedom) / freedom)
    limits = float(t.ppf(1 - tail, freedom)) * estimated

    def excess(mean: float) -> float:
        return float(np.mean(norm.sf(limits - mean) + norm.cdf(-limits - mean))) - POWER

    return float(brentq(excess, 0, limits[-1] + 10))


def deviation_between_seeds(results: Results, metric: Metric) -> float | None:
    """Return the standard deviation of the difference of two arms between seeds.

    It is pooled over all pairs of arms with two seeds or more in common: in a full table of arms and seeds,
    twice the mean square of the two-way analysis of variance that neither explains.

    Args:
        results: Of the whole comparison.
        metric: Of what.

    Returns:
        The deviation; None where no two arms share two seeds.
    """
    values = [
        {run.seed: run.figures[metric.key][0] for run in runs if metric.key in run.figures}
        for runs in results.runs.values()
    ]
    squares = freedom = 0.0
    for one, other in combinations(values, 2):
        apart = [one[seed] - other[seed] for seed in one.keys() & other.keys()]
        if len(apart) > 1:
            squares += (len(apart) - 1) * float(np.var(apart, ddof=1))
            freedom += len(apart) - 1
    return math.sqrt(squares / freedom) if freedom else None


def power_of(results: Results, metric: Metric, found: Difference | None) -> Power | None:
    """Return what would tell a difference from 0; None where seeds' or patients' part is not known."""
    if found is None or found.low is None or found.high is None:
        return None
    of_seeds = deviation_between_seeds(results, metric)
    if of_seeds is None:
        return None
    return Power(len(found.by_seed), found.of_patients or 0.0, of_seeds)


def power_rows(results: Results) -> list[Row]:
    """Return a row a contrast: what it could have shown, and what would show what was seen."""
    rows: list[Row] = []
    for contrast, found in contrast_differences(results).items():
        power = power_of(results, results.comparison.metric(contrast.metric), found)
        cells = _cells(power, found) if power and found else ["—"] * len(_COLUMNS)
        if found is None:
            cells[0] = "not run"
        elif power is None:
            cells[0] = str(len(found.by_seed))
        rows.append(
            {
                "contrast": contrast_name(results, contrast),
                "metric": contrast.metric,
                **dict(zip(_COLUMNS, cells, strict=True)),
            }
        )
    return rows


_COLUMNS = (
    "seeds", "sd between seeds", "se over patients", "detectable", "detectable, twice the seeds",
    "detectable, endless seeds", "seen", "to detect what was seen",
)  # fmt: skip


def _cells(power: Power, found: Difference) -> list[str]:
    sizes = [power.detectable(), power.detectable(2 * power.seeds), power.detectable(math.inf)]
    return [
        str(power.seeds),
        f"{power.of_seeds:.4f}",
        f"{power.of_patients:.4f}",
        *(f"{size:.3f}" if math.isfinite(size) else "— (one seed)" for size in sizes),
        f"{found.mean:+.3f}",
        needed(power, found.mean),
    ]


def needed(power: Power, difference: float) -> str:
    """Return how many seeds would detect a difference, or how many times the patients it takes."""
    seeds = power.seeds_for(difference)
    if math.isfinite(seeds):
        return f"{int(seeds)} seeds"
    times = power.patients_for(difference)
    if not math.isfinite(times):
        return "nothing"
    return f"{times:.2g} × the patients" if times > 1 else f"over {MOST_SEEDS} seeds"
