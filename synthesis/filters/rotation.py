"""Image filter: head up."""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.filters.appearance import appearance, views
from synthesis.filters.appearance_filter import AppearanceFilter


class Rotation(AppearanceFilter):
    """Refuses an image that looks more like a chest when turned by a quarter or a half.

    The measure is what `Appearance` leaves unexplained of the image turned the best way, relative to the
    image as it is.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    kind = "turned"

    def __init__(self, least: float = 0.88, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse ``(batch, height, width)`` is explained when turned the best way."""
        model, small = appearance(self.components), views(images)
        turned = torch.stack([model.unexplained(small.rot90(turns, (2, 3))) for turns in (1, 2, 3)])
        return turned.amin(0) / model.unexplained(small)
