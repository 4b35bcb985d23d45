"""What the filters share that hold an image against those of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from synthesis.filters.embedders import ImageEmbedder, Thumbnails
from synthesis.pairs import Pair

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_BATCH = 64


class FolderSimilarity:
    """Refuses an image that is too much like one of a folder.

    Args:
        folder: PNG, JPEG or BMP files, 8 bit, at any depth; their middle square is taken.
        embedder: Says how alike two images are; None compares thumbnails.
        threshold: From which product of two vectors on they are too much alike, in (0, 1].
        image_size: Side in pixels to which the files are scaled before they are embedded.

    Raises:
        ValueError: If the folder holds no image.
    """

    kind: ClassVar[str] = "like an image of a folder"
    """By what a rejection is counted."""

    def __init__(
        self,
        folder: str | Path,
        embedder: ImageEmbedder | None = None,
        threshold: float = 0.9,
        image_size: int = 256,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: a product of unit vectors; give one above 0, up to 1.")
        self.folder = Path(folder)
        self.embedder = embedder or Thumbnails()
        self.threshold = threshold
        self.image_size = image_size
        self._files = sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not self._files:
            raise ValueError(
                f"folder={str(folder)!r} holds no .png, .jpg or .bmp file; give one with images."
            )

    def reject(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Return for each pair the file that its image is like, or None."""
        images = torch.stack([pair.image[:1] for pair in pairs]).float() / 255
        nearest = (self.embedder.embed_images(images) @ self._vectors.T).max(1)
        return [
            f"{self.kind}: {self._files[i].name}, {value:.3f}" if value >= self.threshold else None
            for value, i in zip(nearest.values.tolist(), nearest.indices.tolist(), strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return {
            "files": len(self._files),
            "files_sha256": digest.hexdigest(),
            "embedder": self.embedder.describe(),
            "threshold": self.threshold,
            "image_size": self.image_size,
        }

    @cached_property
    def _vectors(self) -> Tensor:
        batches = [self._files[i : i + _BATCH] for i in range(0, len(self._files), _BATCH)]
        return torch.cat(
            [self.embedder.embed_images(torch.stack([self._read(p) for p in batch])) for batch in batches]
        )

    def _read(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as file:
                grey = ImageOps.fit(file.convert("L"), (self.image_size, self.image_size))
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read as an image ({error}); take it out of the folder."
            ) from error
        return torch.from_numpy(np.asarray(grey, np.float32) / 255)[None]
