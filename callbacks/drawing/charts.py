"""What is logged as a chart rather than as a picture, by loggers that draw charts themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callbacks.statistics.intervals import Array


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis.

    Attributes:
        title: Line above the chart.
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
        lines: Name → points ``(n, 2)``.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Array]


@dataclass(frozen=True)
class HistogramChart:
    """How values are distributed.

    Attributes:
        title: Line above the chart.
        values: Name → values ``(n,)``.
    """

    title: str
    values: Mapping[str, Array]


Chart = LineChart | HistogramChart
