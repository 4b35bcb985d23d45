"""How benchmarks take time: works in turns, the best turn counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

Measured = dict[str, float]


def best_in_turns(repeats: int, works: Mapping[str, Callable[[], object]]) -> Measured:
    """Return the least seconds that each work took.

    Works take turns, so that whatever else keeps the machine busy for a while hits all of them; a round
    before the first is not timed.

    Args:
        repeats: Timed rounds, ≥ 1.
        works: What to do, by name.
    """
    least = dict.fromkeys(works, math.inf)
    for turn in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                least[name] = min(least[name], time.perf_counter() - start)
    return least


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
