"""Image filter: a whole frontal chest."""

from __future__ import annotations

from torch import Tensor

from synthesis.filters.appearance import appearance, views
from synthesis.filters.appearance_filter import AppearanceFilter


class ChestLikeness(AppearanceFilter):
    """Refuses an image that looks like no frontal chest: a wrong crop, a lateral view, another modality.

    The measure is the share of the image that `Appearance` leaves unexplained.

    Args:
        most: Highest value allowed.
        components: See `Appearance`.
    """

    kind = "no whole chest"

    def __init__(self, most: float = 0.64, components: str | None = None) -> None:
        super().__init__(most=most, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return the unexplained share of ``(batch, height, width)``."""
        return appearance(self.components).unexplained(views(images))
