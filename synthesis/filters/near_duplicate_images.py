"""Corpus filter: no image twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from synthesis.filters.embedders import ImageEmbedder, Thumbnails
from synthesis.pairs import Pair

_BLOCK = 1024  # images compared at once


class NearDuplicateImages:
    """Refuses an image that is nearly one with a lower index that was kept.

    Args:
        embedder: Says how alike two images are; None compares thumbnails.
        threshold: From which product of two vectors on they are the same image, in (0, 1]. Of 300 simulated
            radiographs the two most alike had 0.86. Of copies in another frame, exposure and noise half had
            at least 0.92 at 64 px, all at least 0.89 at 128 px.
    """

    def __init__(self, embedder: ImageEmbedder | None = None, threshold: float = 0.88) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: a product of unit vectors; give one above 0, up to 1.")
        self.embedder = embedder or Thumbnails()
        self.threshold = threshold

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the vector of each image, ``(pairs, dim)`` float16."""
        images = torch.stack([pair.image[:1] for pair in pairs]).float() / 255
        return self.embedder.embed_images(images).numpy().astype(np.float16)

    def reject(self, signatures: npt.NDArray[Any]) -> list[str | None]:
        """Return for each pair, in the order of the indices, that it is like an earlier one, or None."""
        reasons: list[str | None] = [None] * len(signatures)
        kept = np.empty_like(signatures, dtype=np.float32)
        count = 0
        for start in range(0, len(signatures), _BLOCK):
            block = signatures[start : start + _BLOCK].astype(np.float32)
            before = (block @ kept[:count].T).max(1) if count else np.full(len(block), -1, np.float32)
            within = np.tril(block @ block.T, -1)
            left = np.zeros(len(block), bool)
            for i in range(len(block)):
                nearest = max(float(before[i]), float(within[i, :i][left[:i]].max(initial=-1)))
                left[i] = nearest < self.threshold
                if not left[i]:
                    reasons[start + i] = f"image twice: like an earlier one, {nearest:.3f}"
            chosen = block[left]
            kept[count : count + len(chosen)] = chosen
            count += len(chosen)
        return reasons

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"embedder": self.embedder.describe(), "threshold": self.threshold}
