"""Latents of images, stored for the epochs that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class LatentCache:
    """Moments of latents by the index of the sample, in half precision, in memory.

    A hit equals a miss to the last bit: what was computed just now goes through half precision too. So a run
    that is resumed with an empty cache is the same as one that was never interrupted.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}

    def __call__(self, indices: Tensor, compute: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """Return the moments of a batch, computed only if one of its samples is not here yet.

        Args:
            indices: Index of each sample, ``(batch,)``.
            compute: Turns the batch into moments ``(batch, …)``.
            batch: What it is called with.
        """
        numbers = indices.tolist()
        if not all(number in self._kept for number in numbers):
            moments = compute(batch).to("cpu", torch.float16)
            self._kept.update(zip(numbers, moments.unbind(), strict=True))
        return torch.stack([self._kept[number] for number in numbers]).to(indices.device)
