"""No more than so many requests a minute."""

from __future__ import annotations

import time
from threading import Lock


class RateLimit:
    """Spaces requests of many threads evenly.

    Args:
        per_minute: Requests a minute, > 0; None sets no limit.

    Raises:
        ValueError: If the limit is not positive.
    """

    def __init__(self, per_minute: float | None) -> None:
        if per_minute is not None and per_minute <= 0:
            raise ValueError(
                f"requests_per_minute={per_minute}: give a positive number, or null for no limit."
            )
        self._gap = 60 / per_minute if per_minute else 0.0
        self._free = 0.0
        self._lock = Lock()

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._free)
            self._free = turn + self._gap
        if turn > now:
            time.sleep(turn - now)
