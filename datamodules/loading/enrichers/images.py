"""Images, augmented in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.batch import RENDERING, Batch
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample


@dataclass(frozen=True)
class Images:
    """Adds ``image``, and ``other_images`` where several views are asked for.

    Attributes:
        augmentation: Changes each view; None leaves the images.
        views: Views of each image, ≥ 1.
        renderings: Whether every second view is of the other rendering of a sample, where it has one.
    """

    augmentation: Augmentation | None = None
    views: int = 1
    renderings: bool = False

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        batch["image"] = self.stacked(samples, draws)
        if self.views > 1:
            others = [s.companions.get(RENDERING, s) for s in samples] if self.renderings else samples
            batch["other_images"] = [
                self.stacked(others if view % 2 else samples, draws, view) for view in range(1, self.views)
            ]

    def stacked(self, samples: Sequence[Sample], draws: Draws, view: int = 0) -> Tensor:
        """Return one view of each image, float32 ``(batch, 1, height, width)`` in [0, 1]."""
        images = torch.stack([sample.image for sample in samples])
        if self.augmentation is None:
            return images.float().div_(255)
        purpose = f"augmentation {view}" if view else "augmentation"
        return self.augmentation.batch(images, [draws.rng(row, purpose) for row in range(len(samples))])
