"""What a store is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synthesis.concepts import ConceptCatalog
from synthesis.filters import CorpusFilter
from synthesis.identity import identity, json_sha256
from synthesis.pairs import Pair

FORMAT = 2
SHARD_PAIRS = 256


class Maker(Protocol):
    """What a store is filled from: `PairSynthesizer`, `TwinSynthesizer`, or anything like them."""

    @property
    def catalog(self) -> ConceptCatalog:
        """The concepts, in label order."""
        ...

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        ...

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the pairs of some indices."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything a pair depends on besides seed, split and index."""
        ...


@runtime_checkable
class OfferingMaker(Maker, Protocol):
    """A maker that can do without the pairs that it cannot make."""

    def offer(self, indices: Sequence[int], seed: int, split: str) -> tuple[list[Pair], list[int]]:
        """Return a pair for each index, and the positions of those that were rejected on every attempt."""
        ...


@dataclass(frozen=True)
class StorePlan:
    """Everything that stored pairs depend on.

    Attributes:
        maker: Makes the pairs; its own filters have a bad pair drawn again.
        pairs: How many are made, ≥ 1; a store may grow later.
        seed: The seed of the corpus.
        split: Name of the split.
        filters: Leave out pairs that are bad beside the others.
        shard_pairs: Pairs made for one file, ≥ 1: what a process that is killed loses at most.
        complete: Whether every index has to have a pair. If not, pairs that are rejected on every attempt are
            missing in the end; else they are an error.
    """

    maker: Maker
    pairs: int
    seed: int = 0
    split: str = "train"
    filters: Sequence[CorpusFilter] = ()
    shard_pairs: int = SHARD_PAIRS
    complete: bool = True

    def __post_init__(self) -> None:
        """Refuse an empty store, and one that its maker cannot make."""
        if self.pairs < 1 or self.shard_pairs < 1:
            raise ValueError(
                f"pairs={self.pairs}, shard_pairs={self.shard_pairs}: a store holds at least one pair; "
                f"give 1 or more."
            )
        if self.complete and self.filters:
            raise ValueError("complete=True, but corpus filters leave pairs out: set complete to False.")
        if not self.complete and not isinstance(self.maker, OfferingMaker):
            raise TypeError(f"complete=False, but {type(self.maker).__name__} has no method `offer`.")

    def recipe(self) -> dict[str, Any]:
        """Return everything that the pairs depend on but their split and number, JSON-able.

        Its SHA-256 is the fingerprint of the store. Splits share it, and a store may grow.
        """
        return {
            "format": FORMAT,
            "shard_pairs": self.shard_pairs,
            "seed": self.seed,
            "synthesizer": identity(self.maker),
            "corpus_filters": [identity(part) for part in self.filters],
        }

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first index and the end of each shard."""
        starts = range(0, self.pairs, self.shard_pairs)
        return [(start, min(start + self.shard_pairs, self.pairs)) for start in starts]

    def make(self, indices: Sequence[int]) -> tuple[list[Pair], list[Pair]]:
        """Make the pairs of some indices.

        Returns:
            Those that passed, and those that were rejected on every attempt.

        Raises:
            RuntimeError: If every index has to have a pair and one has none.
        """
        if self.complete or not isinstance(self.maker, OfferingMaker):
            return self.maker.make(indices, self.seed, self.split), []
        pairs, refused = self.maker.offer(indices, self.seed, self.split)
        missing = set(refused)
        return [p for k, p in enumerate(pairs) if k not in missing], [pairs[k] for k in refused]


def cache_directory(root: str | Path, recipe: Mapping[str, Any], split: str) -> Path:
    """Return where a cache lies under a root: ``<root>/<first 16 hex digits of the fingerprint>/<split>``."""
    return Path(root) / json_sha256(recipe)[:16] / split
