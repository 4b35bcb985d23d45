"""What belongs to a pair and is made beside it: its twin, its earlier radiograph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.identity import identity
from synthesis.pairs import Pair, PairSynthesizer, drawing_stream
from synthesis.seeding import pair_seed


class CompanionSynthesizer(ABC):
    """Makes the companion of pair ``i`` as a pure function of (configuration, seed, split, i), like the pair.

    Index and split are those of the pair, so a store of companions is read in step with that of the pairs.

    Args:
        synthesizer: Makes the pairs.
    """

    belongs_to: str
    """Key in `describe` of what makes the pairs."""

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        self.synthesizer = synthesizer

    @property
    def catalog(self) -> ConceptCatalog:
        """The concepts, in label order."""
        return self.synthesizer.catalog

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.synthesizer.image_size

    @abstractmethod
    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the companions of some pairs; they have no masks, unless they are there for their masks.

        Args:
            indices: Numbers of the pairs in their split.
            seed: The seed of the corpus.
            split: Name of the split.

        Returns:
            Companions in the order of ``indices``.
        """

    def describe(self) -> dict[str, Any]:
        """Return everything a companion depends on besides seed, split and index, as a JSON-able dict."""
        return {self.belongs_to: identity(self.synthesizer)}

    @staticmethod
    def drawing_seeds(pairs: Sequence[Pair], seed: int, split: str) -> list[int]:
        """Return the seeds with which the images of some pairs were drawn."""
        return [pair_seed(seed, drawing_stream(split, pair.attempt), pair.index) for pair in pairs]
