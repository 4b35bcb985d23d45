"""What a comparison measures: a column of its table, a panel of its plot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A figure of the test.

    Attributes:
        column: What table and plot call it.
        metric: Its key in ``summary.json``.
        test: What the test needs for it beside the callbacks of the base, as arguments:
            ``("--trainer.callbacks+=callbacks.New", "--trainer.callbacks.resamples=500")``.
    """

    column: str
    metric: str
    test: tuple[str, ...] = ()
