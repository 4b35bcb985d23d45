"""The pairs made last, held in memory to be shown again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from synthesis.pairs import Pair


class RecentPairs:
    """Reads pairs and keeps the last ones, without their masks: some 20 kB a pair of 128 px.

    Which pairs are at hand changes the cost alone, for a pair is a pure function of its index.

    Args:
        read: Returns the pairs of some indices.
        capacity: How many pairs a process keeps.
    """

    def __init__(self, read: Callable[[Sequence[int]], list[Pair]], capacity: int) -> None:
        self.read = read
        self.capacity = capacity
        self.kept: dict[int, Pair] = {}

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pairs of some indices, in that order."""
        missing = [index for index in dict.fromkeys(indices) if index not in self.kept]
        made = {p.index: replace(p, masks=None) for p in (self.read(missing) if missing else ())}
        found = made | {index: self.kept[index] for index in indices if index in self.kept}
        self.kept |= made
        while len(self.kept) > self.capacity:
            del self.kept[next(iter(self.kept))]  # the oldest: dicts keep the order of entry
        return [found[index] for index in indices]
