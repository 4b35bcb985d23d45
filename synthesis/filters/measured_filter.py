"""What the filters share that measure one number of an image and hold it against limits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.pairs import Pair

CANONICAL = 64
"""Side of the image, in pixels, on which measures are taken that depend on it."""


class MeasuredFilter(ABC):
    """Refuses an image whose measure is below ``least`` or above ``most``.

    Args:
        least: Lowest value allowed.
        most: Highest value allowed.

    Raises:
        ValueError: If no value is allowed.
    """

    kind: ClassVar[str]
    """By what a rejection is counted."""

    def __init__(self, least: float = -math.inf, most: float = math.inf) -> None:
        if not least <= most:
            raise ValueError(f"least={least}, most={most}: no image has such a measure; give least ≤ most.")
        self.least = least
        self.most = most

    @abstractmethod
    def measure(self, images: Tensor) -> Tensor:
        """Measure images.

        Args:
            images: float32 ``(batch, height, width)`` in [0, 1].

        Returns:
            One number an image, ``(batch,)``.
        """

    def measured(self, pairs: Sequence[Pair]) -> list[float]:
        """Measure the images of some pairs, each by itself: the rest of a batch changes no bit."""
        return [float(self.measure(pair.image[:1].float() / 255)) for pair in pairs]

    def reject(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Return for each pair the measure that is out of bounds, or None."""
        return [self._reason(value) for value in self.measured(pairs)]

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        bounds = {"least": self.least, "most": self.most}
        return {name: value for name, value in bounds.items() if math.isfinite(value)}

    def _reason(self, value: float) -> str | None:
        if self.least <= value <= self.most:
            return None
        bound = f"below {self.least:.4g}" if value < self.least else f"above {self.most:.4g}"
        return f"{self.kind}: {value:.4g} is {bound}"


def resized(images: Tensor, side: int = CANONICAL) -> Tensor:
    """Scale images ``(batch, height, width)`` to one size, so that a measure means the same at any other."""
    return F.interpolate(images[:, None], (side, side), mode="bilinear", antialias=True)[:, 0]


def stretched(images: Tensor) -> Tensor:
    """Spread the grey values of each image from its 1st to its 99th percentile over [0, 1].

    Args:
        images: ``(batch, height, width)``.
    """
    flat = images.flatten(1)
    low, high = torch.quantile(flat, torch.tensor([0.01, 0.99]), dim=1)[:, :, None, None]
    return ((images - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
