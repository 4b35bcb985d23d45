"""What a corpus is made of, and which part of it a process makes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthesis.filters import CorpusFilter
from synthesis.pairs import PairSynthesizer

FORMAT = 1


@dataclass(frozen=True)
class CorpusPlan:
    """Everything that the pairs of a corpus depend on.

    Attributes:
        synthesizer: Makes the pairs; its own filters have a bad pair drawn again.
        pairs: How many are made; what filters refuse to the last is missing in the end.
        seed: The seed of the corpus.
        split: Name of the split.
        filters: Leave out pairs that are bad beside the others.
        shard_pairs: Pairs made for one file, ≥ 1: what a process that is killed loses at most.
    """

    synthesizer: PairSynthesizer
    pairs: int
    seed: int = 0
    split: str = "train"
    filters: Sequence[CorpusFilter] = field(default_factory=tuple)
    shard_pairs: int = 64

    def __post_init__(self) -> None:
        """Refuse an empty corpus."""
        if self.pairs < 1 or self.shard_pairs < 1:
            raise ValueError(
                f"pairs={self.pairs}, shard_pairs={self.shard_pairs}: a corpus holds at least one pair; "
                f"give 1 or more."
            )

    def recipe(self) -> dict[str, Any]:
        """Return everything that the pairs depend on but their number: a corpus may grow."""
        return {
            "corpus_format": FORMAT,
            "shard_pairs": self.shard_pairs,
            "seed": self.seed,
            "split": self.split,
            "synthesizer": self.synthesizer.describe(),
            "corpus_filters": [
                {"class_path": f"{type(part).__module__}.{type(part).__qualname__}", **part.describe()}
                for part in self.filters
            ],
        }

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first index and the end of each file's pairs."""
        starts = range(0, self.pairs, self.shard_pairs)
        return [(start, min(start + self.shard_pairs, self.pairs)) for start in starts]


@dataclass(frozen=True)
class Part:
    """The files that one of several processes makes: each ``count``-th, from ``number`` on.

    Attributes:
        number: Of the process, from 0.
        count: Of processes.
    """

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a part that does not exist."""
        if not 0 <= self.number < self.count:
            raise ValueError(
                f"part {self.number} of {self.count}: parts are numbered from 0; give i/n with 0 ≤ i < n."
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read "i/n".

        Raises:
            ValueError: If the text is something else.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.strip().isdigit() and count.strip().isdigit()):
            raise ValueError(f"shard={text!r} is no part of a whole; write i/n, e.g. 0/4.")
        return cls(int(number), int(count))

    @classmethod
    def of_environment(cls) -> Part:
        """Return this process's part as torchrun, torch.distributed launchers or SLURM number processes."""
        for number, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
            if number in os.environ and count in os.environ:
                return cls(int(os.environ[number]), int(os.environ[count]))
        return cls()
