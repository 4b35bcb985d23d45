"""Where the organs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import ORGANS, Batch
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample


@dataclass(frozen=True)
class Organs:
    """Adds ``organs``, which follow their images where these are moved.

    Attributes:
        augmentation: Of the first view of the images; None leaves them.
    """

    augmentation: Augmentation | None = None

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        masks = [sample.companions[ORGANS].masks for sample in samples]
        known = [mask for mask in masks if mask is not None]
        if self.augmentation is not None:
            rngs = [draws.rng(row, "augmentation") for row in range(len(samples))]
            known = self.augmentation.follow(known, rngs)
        batch["organs"] = torch.stack(known)
