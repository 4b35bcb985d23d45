"""Image filter: air is dark."""

from __future__ import annotations

from torch import Tensor

from synthesis.filters.appearance import appearance, views
from synthesis.filters.appearance_filter import AppearanceFilter


class Inversion(AppearanceFilter):
    """Refuses an image that looks more like a chest as a negative.

    The measure is what `Appearance` leaves unexplained of the negative, relative to the image as it is.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    kind = "inverted"

    def __init__(self, least: float = 0.92, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse the negative of ``(batch, height, width)`` is explained."""
        model, small = appearance(self.components), views(images)
        return model.unexplained(-small) / model.unexplained(small)
