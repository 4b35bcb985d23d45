"""Which samples a rank sees, in which order: pure functions of (seed, epoch, rank, world).

Both samplers yield keys ``(epoch, index)``: the epoch travels inside the key, so that it reaches workers that
live as long as the run, and a batch made ahead of time is still that of its epoch. Both are
`DistributedSampler`s, so that Lightning leaves them alone whatever ``use_distributed_sampler`` says, and
calls ``set_epoch`` on them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import DistributedSampler

Key = tuple[int, int]
"""Epoch and index of a sample."""


class EpochSampler(DistributedSampler[Key]):
    """Training: a permutation of all samples, a slice an epoch, in full batches of one size on every rank.

    A pass over the data is a permutation of ``size`` samples, cut into slices of ``epoch_size``; what does
    not fill a slice sits out this pass (another part in the next). In step ``s`` the ranks together hold the
    ``s``-th part of the slice, so that a step's samples depend on ranks × batch_size only.

    Args:
        size: Number of samples.
        batch_size: Samples of one rank in a step.
        seed: Seed of the order.
        epoch_size: Samples of an epoch over all ranks, ≤ ``size``; None takes all.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: If an epoch would hold no step.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        epoch_size: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(range(size), num_replicas=world, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
        self.size = size
        self.batch_size = batch_size
        self.epoch_size = size if epoch_size is None else epoch_size
        if not 0 < self.epoch_size <= size:
            raise ValueError(
                f"an epoch of {self.epoch_size} samples cannot be taken from {size}; give 1 to {size}."
            )
        self.steps = self.epoch_size // (world * batch_size)
        if self.steps == 0:
            raise ValueError(
                f"an epoch of {self.epoch_size} samples is less than one step of {world} × {batch_size} "
                f"(ranks × batch_size); lower batch_size or the ranks, or give more samples an epoch."
            )
        self._skip = (-1, 0)  # an epoch, and how many of its samples were seen before a resume

    def __len__(self) -> int:
        """Number of samples that this rank sees in an epoch."""
        return self.steps * self.batch_size

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of the epoch last set."""
        epoch, world = self.epoch, self.num_replicas
        own = self.slice(epoch)[: world * len(self)][self.rank :: world][self.skipped :]
        return ((epoch, int(index)) for index in own)

    @property
    def skipped(self) -> int:
        """Samples of the epoch last set that are left out because they were seen before a resume."""
        epoch, count = self._skip
        return count if epoch == self.epoch else 0

    def slice(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, in order, over all ranks."""
        number, part = divmod(epoch, self.size // self.epoch_size)
        order = np.random.default_rng((self.seed, number)).permutation(self.size)
        return order[part * self.epoch_size : (part + 1) * self.epoch_size]

    def resume(self, epoch: int, batches: int) -> None:
        """Leave out the first batches of one epoch, because they were seen before."""
        self._skip = (epoch, batches * self.batch_size)


class OrderedSampler(DistributedSampler[Key]):
    """Evaluation: every sample in order, nothing dropped, the same number on every rank.

    Where the ranks do not divide the samples, or outnumber them, the first ones are repeated: whoever gathers
    drops repeated indices.

    Args:
        size: Number of samples, ≥ 1.
        rank: Number of this process.
        world: Number of processes.
    """

    def __init__(self, size: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(range(size), num_replicas=world, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.size = size

    def __len__(self) -> int:
        """Number of samples that this rank sees."""
        return -(-self.size // self.num_replicas)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys; the epoch in them is 0, for evaluation never varies."""
        return ((0, (self.rank + k * self.num_replicas) % self.size) for k in range(len(self)))
