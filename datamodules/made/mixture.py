"""How many pairs of each source an epoch of a mixture shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """The shares of sources in an epoch.

    Attributes:
        weights: Source → its share, in any unit; as numbers of pairs where they are counted.
        counted: Whether they are.
        pass_of: The source that an epoch goes through once; None for an epoch of a given size.
    """

    weights: Mapping[str, float]
    counted: bool
    pass_of: str | None

    @classmethod
    def of(
        cls,
        sources: Collection[str],
        weights: Mapping[str, float] | None,
        counts: Mapping[str, int] | None,
        pass_of: str | None,
    ) -> Mixture:
        """Return the mixture that is asked for: see the arguments of `MixedPairs`.

        Raises:
            ValueError: If weights and counts are both given, or neither, or cannot be meant.
        """
        if (weights is None) == (counts is None):
            raise ValueError(
                f"weights={weights}, counts={counts}: give one of them, a number for each source."
            )
        given: Mapping[str, float] = weights if weights is not None else counts or {}
        if unknown := [name for name in given if name not in sources]:
            raise ValueError(f"weights: no source {unknown[0]!r}; there are {', '.join(sources)}.")
        if min(given.values(), default=0) < 0 or sum(given.values()) <= 0:
            raise ValueError(f"weights={dict(given)}: give numbers ≥ 0, at least one of them > 0.")
        if pass_of is not None and (counts is not None or given.get(pass_of, 0) <= 0):
            raise ValueError(
                f"pass_of={pass_of!r}: give the name of a source with a weight > 0, and weights, not counts."
            )
        return cls(dict(given), counts is not None, pass_of)

    def epoch_counts(self, sizes: Mapping[str, int], epoch_size: int | None) -> dict[str, int]:
        """Return how many pairs of each training source an epoch shows.

        Args:
            sizes: Source → its training pairs.
            epoch_size: Pairs in an epoch, where neither counts nor `pass_of` say it; None for all.

        Raises:
            ValueError: If a source would not be seen at all.
        """
        weights = {name: self.weights[name] for name in sizes}
        if self.counted:
            scale = 1.0
        elif self.pass_of is not None:
            scale = sizes[self.pass_of] / weights[self.pass_of]
        else:
            scale = (sum(sizes.values()) if epoch_size is None else epoch_size) / sum(weights.values())
        counts = {name: round(scale * weight) for name, weight in weights.items()}
        if empty := [name for name, count in counts.items() if count < 1]:
            raise ValueError(
                f"an epoch would show no pair of source {empty[0]!r} (weights {weights}): raise its weight "
                "or loader.epoch_size, or give it weight 0."
            )
        return counts
