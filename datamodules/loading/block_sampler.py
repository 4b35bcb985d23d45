"""Which samples a rank predicts: a block of neighbours, each sample once."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import DistributedSampler

from datamodules.loading.samplers import Key


class BlockSampler(DistributedSampler[Key]):
    """Prediction: every sample once, in order, a block of neighbours a rank; blocks may differ by one.

    What ranks write, one after the other, is then in the order of the samples. Unlike `OrderedSampler` it
    repeats none, so nothing may be gathered batch by batch.

    Args:
        size: Number of samples.
        rank: Number of this process.
        world: Number of processes.
    """

    def __init__(self, size: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(range(size), num_replicas=world, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.block = range(size * rank // world, size * (rank + 1) // world)

    def __len__(self) -> int:
        """Number of samples that this rank sees."""
        return len(self.block)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys; the epoch in them is 0."""
        return ((0, index) for index in self.block)
