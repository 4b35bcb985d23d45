"""Progress in plain lines, for logs and wherever no terminal draws a bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class ProgressLines:
    """Prints how much is done, the rate and the time left, at most every so many seconds.

    Args:
        total: How many there are.
        unit: What is counted, e.g. "images".
        every: Seconds between two lines.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, total: int, unit: str, every: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.unit, self.every, self.clock = total, unit, every, clock
        self.done = 0
        self._began = self._told = clock()

    def advance(self, count: int) -> None:
        """Count some more, and print a line if it is time and no terminal is there."""
        self.done += count
        now = self.clock()
        if now - self._told < self.every or sys.stdout.isatty():
            return
        self._told = now
        rate = self.done / max(now - self._began, 1e-9)
        left = max(0, self.total - self.done) / max(rate, 1e-9)
        print(
            f"{self.done:,} of {self.total:,} {self.unit}, {rate:,.1f} {self.unit}/s, {duration(left)} left",
            flush=True,
        )


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
