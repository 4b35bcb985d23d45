"""The random numbers of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.loading.samplers import Key
from synthesis.seeding import generator, pair_seed


@dataclass(frozen=True)
class Draws:
    """Random numbers of the samples of a batch: a pure function of seed, epoch, index and purpose.

    Attributes:
        seed: Seed of what varies.
        keys: (epoch, index) of each sample.
    """

    seed: int
    keys: Sequence[Key]

    def rng(self, row: int, purpose: str) -> np.random.Generator:
        """Return the random numbers of one sample for one purpose, such as "augmentation"."""
        epoch, index = self.keys[row]
        return generator(pair_seed(self.seed, f"epoch {epoch}", index), purpose)
