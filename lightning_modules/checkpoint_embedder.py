"""A trained dual encoder, as whoever compares images and texts wants it: two functions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.trained_encoder import trained_encoder
from synthesis.limits import at_least


class CheckpointEmbedder:
    """Embeds images and texts with a checkpoint of `python main.py fit`.

    It satisfies `synthesis.filters.PairEmbedder` without importing it: pairs may be filtered by a
    model that was trained on earlier ones.

    Args:
        checkpoint: File that the command line wrote (it holds the model's configuration and tokenizer), or a
            directory that `make export` wrote.
        device: Where it runs.
        batch_size: Images or texts a pass; no result depends on it but for rounding.

    Raises:
        ValueError: If there is no such file, or (when first used) if it holds no dual encoder with a
            tokenizer.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, checkpoint: str | Path, device: str = "cpu", batch_size: int = 64) -> None:
        at_least(self, 1, batch_size=batch_size)
        self.checkpoint = Path(checkpoint)
        if not self.checkpoint.exists():
            raise ValueError(
                f"checkpoint={str(checkpoint)!r} is no file; give a .ckpt of `main.py fit`, or a directory "
                "of `make export` or results/encoders."
            )
        self.device = device
        self.batch_size = batch_size

    def embed_images(self, images: Tensor) -> Tensor:
        """Return unit vectors ``(batch, dim)`` of images ``(batch, 1, height, width)`` in [0, 1]."""
        size = self._model.image_encoder.image_size
        scaled = F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
        parts = [self._model.encode_image(part) for part in scaled.split(self.batch_size)]
        return _joined(parts)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors ``(texts, dim)`` of reports, sentences or prompts."""
        return self._model.encode_text(texts, self.batch_size).cpu()

    def describe(self) -> dict[str, Any]:
        """Return everything the vectors depend on: the SHA-256 of the weights."""
        whole = self.checkpoint.is_dir()
        path = self.checkpoint / "model.safetensors" if whole else self.checkpoint
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"checkpoint_sha256": digest}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: another process loads its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_model"}

    @cached_property
    def _model(self) -> DualEncoder:
        return trained_encoder(self.checkpoint, "checkpoint", self.device)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    from torch import cat

    return cat(list(parts)).float().cpu()
