"""Which source each sample is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample


@dataclass(frozen=True)
class SourceNumbers:
    """Adds ``source``, the position of each sample's source among those that are mixed."""

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        batch["source"] = torch.tensor([sample.source for sample in samples])
