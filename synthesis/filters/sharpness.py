"""Image filter: not blurred."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from synthesis.filters.measured_filter import CANONICAL, MeasuredFilter, resized, stretched


class Sharpness(MeasuredFilter):
    """Refuses a blurred image, or one that was enlarged from few pixels, as wrong crops are.

    Fine structure is the standard deviation, over the image with its contrast stretched, of what differs from
    the mean of the 3 × 3 pixels around; it is taken at 64 pixels and, of images that have as many, at 128.
    The measure is the smaller of the two relative to the lowest value allowed.

    Args:
        coarse: Lowest value allowed at 64 pixels.
        fine: Lowest value allowed at 128 pixels.
    """

    kind = "blurred"

    def __init__(self, coarse: float = 0.0095, fine: float = 0.0065) -> None:
        super().__init__(least=1)
        self.coarse = coarse
        self.fine = fine

    def measure(self, images: Tensor) -> Tensor:
        """Return the relative fine structure of ``(batch, height, width)``."""
        found = _structure(images, CANONICAL) / self.coarse
        if min(images.shape[1:]) >= 2 * CANONICAL:
            found = found.minimum(_structure(images, 2 * CANONICAL) / self.fine)
        return found

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"coarse": self.coarse, "fine": self.fine}


def _structure(images: Tensor, side: int) -> Tensor:
    small = stretched(resized(images, side))
    around = F.avg_pool2d(small[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    return (small - around).std((1, 2))
