"""What an evaluation is made for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from callbacks.drawing.charts import Chart
from callbacks.statistics.intervals import Array, percentile_interval


@dataclass(frozen=True)
class Occasion:
    """What an evaluation is made for.

    Attributes:
        stage: ``"val"`` or ``"test"``.
        concepts: Names of the label columns.
        final: Whether figures deserve intervals: at ``test``, at ``validate``, and at the end of a fit.
        findings: Those of the concepts that are findings, neither devices nor the absence of any; None for
            all.
        source: Name of the evaluation loader, ``""`` for the first.
    """

    stage: str
    concepts: tuple[str, ...]
    final: bool
    findings: tuple[str, ...] | None = None
    source: str = ""


@dataclass(frozen=True)
class Result:
    """What an evaluation gives.

    Attributes:
        metrics: Figures by name below ``<stage>/<callback>/``.
        details: What stands behind them (n, hashes, classes left out …), ready for JSON.
        draws: Figures in each bootstrap resample of patients, ``(resamples,)`` by name; empty where no
            intervals are wanted. Of them `Evaluation` makes ``details["intervals"]``, and runs are compared
            by them, draw by draw.
        charts: Charts by name, of a final evaluation, for loggers that draw themselves.
    """

    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)
    draws: dict[str, Array] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)


def with_intervals(result: Result) -> Result:
    """Add ``details["intervals"]``: ``[low, high]`` of 95 % of the draws of each figure."""
    intervals = {name: percentile_interval(drawn) for name, drawn in result.draws.items()}
    known = {name: ends for name, ends in intervals.items() if not np.isnan(ends).any()}
    return replace(result, details={**result.details, "intervals": known})
