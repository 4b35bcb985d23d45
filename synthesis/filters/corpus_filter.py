"""The seam of filters that look at a pair beside the others of its corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from synthesis.pairs import Pair


@runtime_checkable
class CorpusFilter(Protocol):
    """Says which pairs of a corpus are bad beside the others, by a rule in the order of their indices.

    What is looked at of a pair (its signature) is a pure function of the pair, and whether a pair is refused
    depends on it and on the pairs with lower indices only: so the answer is the same however many processes
    made the corpus, in whichever order, and a corpus may grow without losing a pair.
    """

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the signature of each pair: an array ``(pairs, …)`` of numbers."""
        ...

    def reject(self, signatures: npt.NDArray[Any]) -> list[str | None]:
        """Return for each pair, in the order of the indices, the reason why it is refused, or None."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on, as a JSON-able dict: it enters the fingerprint of a corpus."""
        ...
