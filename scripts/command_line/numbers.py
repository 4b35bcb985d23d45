"""Numbers as arguments of the programs beside the trainer: refused where they cannot be meant."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a `type` of argparse that takes whole numbers within limits.

    Args:
        low: The lowest.
        high: The highest; None for no limit.
    """
    limits = f"of {low} or more" if high is None else f"from {low} to {high}"

    def take(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number {limits}")
        return number

    return take


def number(low: float) -> Callable[[str], float]:
    """Return a `type` of argparse that takes finite numbers from a limit."""

    def take(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found) or found < low:
            raise argparse.ArgumentTypeError(f"{text!r}: give a number of {low:g} or more")
        return found

    return take
