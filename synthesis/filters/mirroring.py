"""Image filter: the patient's right on the viewer's left."""

from __future__ import annotations

from torch import Tensor

from synthesis.filters.appearance import appearance, views
from synthesis.filters.appearance_filter import AppearanceFilter


class Mirroring(AppearanceFilter):
    """Refuses an image that looks more like a chest in a mirror.

    The measure is what `Appearance` leaves unexplained of the mirror image, relative to the image as it is.
    The two differ little, and real radiographs are less alike than simulated ones: with the components
    shipped, which no real radiograph had a part in, most mirrored real ones pass. Situs inversus does not.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    kind = "mirrored"

    def __init__(self, least: float = 0.89, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse the mirror image of ``(batch, height, width)`` is explained."""
        model, small = appearance(self.components), views(images)
        return model.unexplained(small.flip(3)) / model.unexplained(small)
