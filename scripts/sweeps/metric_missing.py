"""The error of a sweep whose figure its runs do not measure."""

from __future__ import annotations


class MetricMissing(ValueError):
    """No run of a sweep can have the figure that it ranks by: it ends the sweep, not a run of it alone."""
