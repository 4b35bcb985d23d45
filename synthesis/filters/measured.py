"""Filters of images by one number that is measured on the grey values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.pairs import Pair, Rejection

CANONICAL = 64
"""Side of the image, in pixels, on which measures are taken that depend on it."""


class MeasuredFilter(ABC):
    """Rejects an image whose measure is below ``least`` or above ``most``.

    Args:
        least: Lowest value allowed.
        most: Highest value allowed.

    Raises:
        ValueError: If no value is allowed.
    """

    version: int = 1  # of the results, see synthesis.identity

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

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair the measure that is out of bounds, or None."""
        return [self._reason(value) for value in self.measured(pairs)]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        bounds = {"least": self.least, "most": self.most}
        return {name: value for name, value in bounds.items() if math.isfinite(value)}

    def _reason(self, value: float) -> Rejection | None:
        if self.least <= value <= self.most:
            return None
        bound = f"below {self.least:.4g}" if value < self.least else f"above {self.most:.4g}"
        return Rejection(self.kind, f"{value:.4g} is {bound}")


class Contrast(MeasuredFilter):
    """Rejects an image whose grey values lie close together: blank, or much too dark or too pale.

    The measure is the distance of the 2nd from the 98th percentile, in [0, 1].

    Args:
        least: Lowest value allowed. Of 300 simulated radiographs the lowest had 0.47, of 430 real ones 0.42;
            with 15 % of their exposure the highest had 0.14.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "low contrast"

    def __init__(self, least: float = 0.2) -> None:
        super().__init__(least=least)

    def measure(self, images: Tensor) -> Tensor:
        """Return the spread of the grey values of ``(batch, height, width)``."""
        low, high = torch.quantile(images.flatten(1), torch.tensor([0.02, 0.98]), dim=1)
        return high - low


class Saturation(MeasuredFilter):
    """Rejects an image of which too much is white.

    The measure is the share of the pixels that are as good as white, in [0, 1].

    Args:
        most: Highest share allowed. Of 300 simulated radiographs the highest had 0.03, of 430 real ones 0.09;
            at two and a half times their exposure 0.49 is the lowest.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "saturated"

    def __init__(self, most: float = 0.3) -> None:
        super().__init__(most=most)

    def measure(self, images: Tensor) -> Tensor:
        """Return the share of white pixels of ``(batch, height, width)``."""
        return (images >= 0.98).float().mean((1, 2))


class Truncation(MeasuredFilter):
    """Rejects an image with a band of one grey value, with which decoders fill the rest of a truncated file.

    The measure is the share of rows that have a single value. Black and white rows do not count: a radiograph
    may have such a border.

    Args:
        most: Highest share allowed. Of 300 simulated and of 430 real radiographs none had any; a file that
            lacks 5 % of its rows has 0.05.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "truncated"

    def __init__(self, most: float = 0.03) -> None:
        super().__init__(most=most)

    def measure(self, images: Tensor) -> Tensor:
        """Return the share of even grey rows of ``(batch, height, width)``."""
        low, high = images.amin(2), images.amax(2)
        even = (high - low < 0.01) & (low > 0.1) & (high < 0.9)
        return even.float().mean(1)


class Noise(MeasuredFilter):
    """Rejects a very noisy image.

    The measure is the standard deviation of the noise in grey values of 255, by a mask that answers
    neither planes nor edges (Immerkær, Fast noise variance estimation, 1996).

    Args:
        most: Highest value allowed. Of 300 simulated radiographs the highest had 2.8, of 430 real ones 1.4;
            very noisy ones had at least 50.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "noisy"

    def __init__(self, most: float = 25.0) -> None:
        super().__init__(most=most)

    def measure(self, images: Tensor) -> Tensor:
        """Return the noise of ``(batch, height, width)``."""
        mask = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
        response = F.conv2d(images[:, None], mask[None, None]).abs().mean((1, 2, 3))
        return response * math.sqrt(math.pi / 2) / 6 * 255


class Sharpness(MeasuredFilter):
    """Rejects a blurred image, or one that was enlarged from few pixels, as wrong crops are.

    Fine structure is the standard deviation of the difference between each pixel and the mean of the 3 × 3
    pixels around it, after the contrast was stretched. It is taken at 64 pixels, and at 128 where the image
    has as many. The measure is the smaller of the two, each relative to the lowest value allowed.

    Args:
        coarse: Lowest value allowed at 64 pixels.
        fine: Lowest value allowed at 128 pixels.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "blurred"

    def __init__(self, coarse: float = 0.0095, fine: float = 0.0065) -> None:
        super().__init__(least=1)
        self.coarse = coarse
        self.fine = fine

    def measure(self, images: Tensor) -> Tensor:
        """Return the relative fine structure of ``(batch, height, width)``."""
        relative = _structure(images, CANONICAL) / self.coarse
        if min(images.shape[1:]) >= 2 * CANONICAL:
            relative = relative.minimum(_structure(images, 2 * CANONICAL) / self.fine)
        return relative

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"coarse": self.coarse, "fine": self.fine}


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


def _structure(images: Tensor, side: int) -> Tensor:
    small = stretched(resized(images, side))
    around = F.avg_pool2d(small[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    return (small - around).std((1, 2))
