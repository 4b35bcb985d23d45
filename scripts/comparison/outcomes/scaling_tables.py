"""Tables of scaling curves: their points, and the laws fitted to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scripts.comparison.outcomes.scaling import Scaling, ScalingPoint
from scripts.comparison.tables import Row

SCALING_NOTE = (
    "Error: 1 less the figure where more is better, mean over seeds. Intervals: 95 %, every arm's seeds and "
    "the test patients drawn again together; seeds' deviations are widened by the root of n / (n − 1) "
    "(Davison and Hinkley 1997); where there is a single seed, the patients alone."
)
LAW_NOTE = (
    "Fitted to the logarithms (as in arXiv:2212.07143) of the points in the table of scaling; intervals of "
    "the same draws. Explained: share of the variance of the logarithms. Takes: the size at which the law "
    "comes to the error of what is to be reached, as a multiple of its size; outside the sizes that were run "
    "it is extrapolated."
)


def scaling_rows(found: Sequence[Scaling]) -> list[Row]:
    """Return a row for each point of each curve."""
    rows: list[Row] = []
    for scaling in found:
        for point in scaling.points:
            fitted = "—" if scaling.law is None else f"{float(scaling.law.error(np.array(point.size))):.3f}"
            rows.append(_row(scaling, point, fitted))
        if scaling.reach is not None:
            rows.append(_row(scaling, scaling.reach, "to reach"))
    return rows


def _row(scaling: Scaling, point: ScalingPoint, fitted: str) -> Row:
    error = "not run" if math.isnan(point.error) else f"{point.error:.3f}"
    if (bounds := point.interval) is not None:
        error += f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"
    return {
        "arm": point.title,
        "metric": scaling.curve.metric,
        "size": f"{point.size:,.10g} {scaling.curve.unit}",
        "seeds": str(point.seeds),
        "error": error,
        "by the law": fitted,
    }


def law_rows(found: Sequence[Scaling]) -> list[Row]:
    """Return a row a curve: its law, and how many times the pairs of what it is to reach."""
    rows: list[Row] = []
    for scaling in found:
        times, reach = scaling.times(), scaling.reach
        rows.append(
            {
                "metric": scaling.curve.metric,
                "law": scaling.told,
                "explained": "—" if scaling.law is None else f"{scaling.law.explained:.3f}",
                "to reach": "—" if reach is None else reach.title,
                "takes": "—" if times is None else _times_told(times),
            }
        )
    return rows


def _times_told(times: tuple[float, tuple[float, float] | None]) -> str:
    def one(number: float) -> str:
        return "never" if math.isinf(number) else f"{number:.3g}"

    value, bounds = times
    told = f"× {one(value)}" if math.isfinite(value) else "never"
    return told if bounds is None else f"{told} [{one(bounds[0])}, {one(bounds[1])}]"
