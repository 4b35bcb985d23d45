"""The space in which generated radiographs are compared with others: what an encoder makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import IMAGE
from lightning_modules.checkpoints import load_model
from lightning_modules.generators.images import resized
from synthesis.filters import PretrainedEncoder


class FeatureSpace(nn.Module):
    """Turns images ``(batch, 1, height, width)`` in [0, 1] into features ``(batch, dim)``.

    Args:
        path: A checkpoint of a dual encoder that `main.py fit` has trained (its pooled features), or the
            directory of a vision model of `transformers` such as RAD-DINO (its pooler output), with its image
            processor: the model that the filters compare images by (`synthesis.filters.PretrainedEncoder`).
        batch_size: Images a pass.

    Attributes:
        name: What tables call it.
        origin: What is subtracted from features: see `settle`.
        unit: What they are divided by.

    Raises:
        FileNotFoundError: If there is neither.
    """

    def __init__(self, path: Path, batch_size: int = 64) -> None:
        super().__init__()
        if not path.exists():
            raise FileNotFoundError(
                f"no encoder at {path}: train one with `make fit`, or give a checkpoint of ours or the "
                "directory of a vision model (ENCODER=…)"
            )
        self.batch_size = batch_size
        self.name = path.name if path.is_dir() else f"{path.parents[1].name}/{path.name}"
        self.encode = PretrainedEncoder(path).features if path.is_dir() else _OwnEncoder(path)
        self.origin, self.unit = torch.zeros(()), torch.ones(())
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images, float32."""
        features = torch.cat([self.encode(part) for part in images.split(self.batch_size)]).float()
        return (features - self.origin) / self.unit

    def settle(self, images: Tensor) -> Tensor:
        """Give the features of these images the mean 0 and the root mean square 1, and return them.

        Encoders differ in the size of their features by orders of magnitude. Nearest neighbours do not care,
        but the Fréchet distance grows with its square, and the kernel distance is made for features about 1.
        """
        self.origin, self.unit = torch.zeros(()), torch.ones(())
        features = self(images)
        self.origin, self.unit = features.mean(0), features.var(0, correction=0).mean().sqrt()
        return (features - self.origin) / self.unit


class _OwnEncoder(nn.Module):
    def __init__(self, path: Path) -> None:
        super().__init__()
        model: Any = load_model(path)
        self.encoder = model.image_encoder

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder({IMAGE: resized(images, self.encoder.image_size)}).pooled
