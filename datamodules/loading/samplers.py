"""Which samples a rank sees, in which order: pure functions of (seed, epoch, rank, world).

Both samplers yield keys ``(epoch, index)``: the epoch travels inside the key, so that it reaches workers that
live as long as the run, and a batch made ahead of time is still that of its epoch. Both are
`DistributedSampler`s, so that Lightning leaves them alone whatever ``use_distributed_sampler`` says, and
calls ``set_epoch`` on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import DistributedSampler

Key = tuple[int, int]
"""Number of the showing and index of a sample. The number is the epoch; where an epoch shows its samples
``n`` times, epoch × n + 0, 1 …"""

ECHO_SPAN = 12
"""A sample is shown again a multiple of so many batches later: 1, 2, 3, 4, 6 or 12 workers meet their own."""
ECHO_ROWS = 4
"""So many batches are mixed with each other before they are shown again."""

MIXED_RUNS = 4
"""Of samples that are read run by run (file by file), so many runs are mixed with each other."""


class EpochSampler(DistributedSampler[Key]):
    """Training: a permutation of all samples, a slice an epoch, in full batches of one size on every rank.

    A pass over the data is a permutation of ``size`` samples, cut into slices of ``epoch_size``; what does
    not fill a slice sits out this pass (another part in the next). In step ``s`` the ranks together hold the
    ``s``-th part of the slice, so that a step's samples depend on ranks × batch_size only.

    An epoch of more than ``size`` samples is several passes, each in an order of its own; the last is cut
    short. So few samples are trained on for as many steps as many.

    Data echoing (Choi et al. 2019, arXiv:1907.05550): a slice may hold ``epoch_size / echo`` samples, each of
    which is shown ``echo`` times, in other company and with other augmentations, on the same rank and soon
    enough for its worker to have it at hand. Where making a sample costs as much as learning from it, that is
    time saved.

    Args:
        size: Number of samples.
        batch_size: Samples of one rank in a step.
        seed: Seed of the order.
        epoch_size: Samples of an epoch over all ranks; None takes each once.
        rank: Number of this process.
        world: Number of processes.
        echo: How often an epoch shows each of its samples.
        runs: Lengths of consecutive runs of samples that are read together, such as the files of a streamed
            corpus: runs come in random order, and the samples of `MIXED_RUNS` runs are mixed. None mixes all.

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
        echo: int = 1,
        runs: Sequence[int] | None = None,
    ) -> None:
        super().__init__(range(size), num_replicas=world, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
        self.size = size
        self.batch_size = batch_size
        self.epoch_size = size if epoch_size is None else epoch_size
        self.echo = echo
        self.runs = None if runs is None else np.array(runs, np.int64)
        if echo < 1:
            raise ValueError(f"echo={echo}: an epoch shows each of its samples; give 1 (no echo) or more.")
        self.passes = -(-(self.epoch_size // echo) // size)
        self.steps = self.epoch_size // echo // (world * batch_size) * echo
        if self.steps < 1:
            raise ValueError(
                f"an epoch of {self.epoch_size} samples is less than one step of {world} × {batch_size} "
                f"(ranks × batch_size){f', shown {echo} times (echo)' if echo > 1 else ''}; lower batch_size "
                f"or the ranks, or give more samples an epoch (epoch_size={epoch_size}, of {size})."
            )
        self._skip = (-1, 0)  # an epoch, and how many of its samples were seen before a resume

    def __len__(self) -> int:
        """Number of samples that this rank sees in an epoch."""
        return self.steps * self.batch_size

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of the epoch last set."""
        own = self._keys(self.epoch)[self.rank :: self.num_replicas][self.skipped :]
        return ((int(showing), int(index)) for showing, index in own)

    @property
    def skipped(self) -> int:
        """Samples of the epoch last set that are left out because they were seen before a resume."""
        epoch, count = self._skip
        return count if epoch == self.epoch else 0

    def slice(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return what an epoch draws over all ranks, before any echo: its pass × ``size`` + index."""
        length = self.epoch_size // self.echo
        number, part = divmod(epoch, max(1, self.size // length))
        orders = [
            turn * self.size
            + self._permutation(np.random.default_rng((self.seed, self.passes * number + turn)))
            for turn in range(self.passes)
        ]
        return np.concatenate(orders)[part * length : (part + 1) * length]

    def _permutation(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.runs is None:
            return rng.permutation(self.size)
        starts = np.cumsum(self.runs) - self.runs
        order = rng.permutation(len(self.runs))
        groups = [
            np.concatenate(
                [np.arange(starts[run], starts[run] + self.runs[run]) for run in order[i : i + MIXED_RUNS]]
            )
            for i in range(0, len(order), MIXED_RUNS)
        ]
        return np.concatenate([rng.permutation(group) for group in groups])

    def _keys(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the keys of an epoch in order over all ranks, (sample, 2)."""
        step = self.num_replicas * self.batch_size
        fresh = self.slice(epoch)[: self.steps // self.echo * step].reshape(-1, step)
        rng = np.random.default_rng((self.seed, epoch, self.echo))
        parts = []
        while len(fresh):
            rows = min(ECHO_ROWS, max(1, len(fresh) // ECHO_SPAN))
            group, fresh = fresh[: rows * ECHO_SPAN], fresh[rows * ECHO_SPAN :]
            for showing in range(self.echo):
                turn, index = np.divmod(group.ravel(), self.size)
                numbers = self.echo * (self.passes * epoch + turn) + showing
                parts.append(np.stack([numbers, index], axis=1))
                if rows > 1:  # each place of a step is dealt out anew among batches a span apart
                    columns = rng.permuted(group.reshape(rows, -1), axis=0)
                    group = columns.reshape(group.shape)
        return np.concatenate(parts)

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
