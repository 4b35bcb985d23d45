"""Numbers that a class is given: refused where they cannot be meant, with name, value and range."""

from __future__ import annotations

import math
from typing import Any

_LARGEST = 2**63 - 1


def at_least(owner: object, low: float, **values: Any) -> None:
    """Refuse numbers below a limit.

    Args:
        owner: What they were given to; the message names its class.
        low: The lowest that is allowed.
        **values: Numbers, or lists of them, by the names of the arguments.

    Raises:
        ValueError: Naming class, argument, value and range.
    """
    _check(owner, values, f"{low:g} or more", lambda value: value >= low)


def above(owner: object, low: float, **values: Any) -> None:
    """Refuse numbers that are not above a limit; see `at_least`."""
    _check(owner, values, f"more than {low:g}", lambda value: value > low)


def within(owner: object, low: float, high: float, **values: Any) -> None:
    """Refuse numbers outside [low, high]; see `at_least`."""
    _check(owner, values, f"from {low:g} to {high:g}", lambda value: low <= value <= high)


def below(owner: object, high: float, **values: Any) -> None:
    """Refuse numbers outside [0, high); see `at_least`."""
    _check(owner, values, f"at least 0 and less than {high:g}", lambda value: 0 <= value < high)


def _check(owner: object, values: dict[str, Any], allowed: str, holds: Any) -> None:
    for name, value in values.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int) and abs(number) > _LARGEST:
                kind = owner.__name__ if isinstance(owner, type) else type(owner).__name__
                raise ValueError(f"{kind}: {name}={value!r}: give {allowed}, within 64 bits")
            if not isinstance(number, int | float) or not math.isfinite(number) or not holds(number):
                kind = owner.__name__ if isinstance(owner, type) else type(owner).__name__
                raise ValueError(f"{kind}: {name}={value!r}: give {allowed}")
