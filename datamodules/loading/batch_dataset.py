"""From samples to whole batches, made in one call by one worker."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers import Enricher
from datamodules.loading.sample import Sample, SampleSource
from datamodules.loading.samplers import Key


class BatchDataset(Dataset[Batch]):
    """Turns samples into batches. What varies is a pure function of (seed, epoch, index).

    A key is (epoch, index), or an index alone, which means epoch 0.

    Args:
        source: Where the samples come from.
        enrichers: What batches hold besides labels, index, patient and view, in this order.
        seed: Seed of what varies.
    """

    def __init__(self, source: SampleSource, enrichers: Sequence[Enricher], seed: int) -> None:
        self.source = source
        self.enrichers = tuple(enrichers)
        self.seed = seed

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)

    def __getitem__(self, key: Key | int) -> Batch:
        """Return a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key | int]) -> Batch:
        """Return the batch of some keys."""
        pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
        return self.batch(self.source.samples([index for _, index in pairs]), pairs)

    def batch(self, samples: Sequence[Sample], keys: Sequence[Key]) -> Batch:
        """Return the batch of some samples.

        Args:
            samples: The samples.
            keys: (epoch, index) of each.
        """
        batch = Batch(
            labels=torch.stack([sample.labels for sample in samples]),
            index=torch.tensor([index for _, index in keys]),
            group=torch.tensor([sample.group for sample in samples]),
            view=torch.tensor([sample.view for sample in samples]),
        )
        for enricher in self.enrichers:
            enricher.enrich(batch, samples, Draws(self.seed, keys))
        return batch
