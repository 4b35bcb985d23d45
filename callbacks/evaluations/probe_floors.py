"""Floors under a linear probe: what features are worth that no training went into."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from callbacks.base.features import FeatureCollector
from datamodules.batch import IMAGE, Batch
from synthesis.limits import at_least


class ProbeFloors(L.Callback):
    """Adds two feature sets to the test pass, which `LinearProbe` reports beside the trained one.

    ``random_init``: the pooled output of the same image encoder as it is when training begins
    (`Encoder.untrained`), from several seeds: one draw may be lucky. ``pixels``: the image averaged down to
    ``size`` x ``size``, which the probe reduces to principal components. Training helped if the probe beats
    both: random convolutions and plain pixels already tell a good deal about a radiograph.

    Args:
        seeds: How many untrained encoders, at least 1; their seeds count from 0.
        size: Side of the small image, pixels.

    Raises:
        ValueError: If there is no seed.
    """

    def __init__(self, seeds: int = 4, size: int = 48) -> None:
        at_least(self, 1, size=size)
        if seeds < 1:
            raise ValueError(f"seeds={seeds} must be at least 1: the floor is the mean over them")
        self.seeds, self.size = seeds, size

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make the untrained encoders and register both feature sets.

        Raises:
            TypeError: If the model's image encoder cannot be made anew.
        """
        trained: Any = pl_module.image_encoder
        if not hasattr(trained, "untrained"):
            raise TypeError(
                f"{type(trained).__name__} cannot be made anew: inherit lightning_modules.ImageEncoder, or "
                "leave ProbeFloors out"
            )
        encoders = [trained.untrained(seed).to(pl_module.device).eval() for seed in range(self.seeds)]

        def random_init(batch: Batch) -> Tensor:
            with torch.no_grad():
                return torch.stack([encoder(batch).pooled.float() for encoder in encoders], 1)

        extractors = FeatureCollector.of(trainer).extractors
        extractors["random_init"] = random_init
        extractors["pixels"] = lambda batch: small_pixels(batch[IMAGE], self.size)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove them again."""
        extractors = FeatureCollector.of(trainer).extractors
        extractors.pop("random_init", None)
        extractors.pop("pixels", None)


def small_pixels(images: Tensor, size: int) -> Tensor:
    """Return area averages of images ``(batch, 1, height, width)``, flat: ``(batch, size * size)``."""
    return nn.functional.interpolate(images.float(), size=(size, size), mode="area").flatten(1)
