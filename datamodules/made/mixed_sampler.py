"""The order in which training sees several sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from datamodules.loading.samplers import EpochSampler
from synthesis.seeding import pair_seed


class MixedSampler(EpochSampler):
    """A fixed number of samples of each source an epoch, spread evenly over its steps.

    Each source is walked by itself, as an `EpochSampler` walks one: a seeded permutation, so many samples an
    epoch, the next epoch going on where this one ends. Every step of all ranks holds a source's share, but
    for rounding; within a step the order is random. Like any order here it is a pure function of (seed,
    epoch), and a step's samples depend on ranks × batch_size only.

    Args:
        sizes: Source → number of its samples, in the order in which the sources stand one after the other.
        counts: Source → samples an epoch over all ranks; more than there are means several passes.
        batch_size: Samples of one rank in a step.
        seed: Seed of the order.
        rank: Number of this process.
        world: Number of processes.
        runs: Source → lengths of runs that are read together, see `EpochSampler`.

    Raises:
        ValueError: If an epoch would hold no step.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        counts: Mapping[str, int],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        runs: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(sum(sizes.values()), batch_size, seed, sum(counts.values()), rank, world)
        self.walks = [
            EpochSampler(size, 1, pair_seed(seed, name, 0), counts[name], runs=(runs or {}).get(name))
            for name, size in sizes.items()
        ]

    def _keys(self, epoch: int) -> npt.NDArray[np.int64]:
        step = self.num_replicas * self.batch_size
        drawn, places, start = [], [], 0
        for walk in self.walks:
            turn, index = np.divmod(walk.slice(epoch), walk.size)
            drawn.append(np.stack([walk.passes * epoch + turn, start + index], axis=1))
            places.append((np.arange(len(index)) + 0.5) / len(index))
            start += walk.size
        order = np.argsort(np.concatenate(places), kind="stable")
        keys = np.concatenate(drawn)[order][: self.steps * step].reshape(self.steps, step, 2)
        within = np.random.default_rng((self.seed, epoch)).permuted(
            np.tile(np.arange(step), (self.steps, 1)), axis=1
        )
        return np.take_along_axis(keys, within[..., None], axis=1).reshape(-1, 2)
