"""A similarity map over its radiograph, as a picture to look at."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN = 34
"""Height of the caption, px."""


def similarity_overlay(image: np.ndarray, map_: np.ndarray, scale: float, caption: str) -> Image:
    """Lay a signed map over an image: red where it is above zero, blue where it is below.

    Opacity grows with the size of what is shown, so that where the map says nothing the radiograph is seen
    as it is.

    Args:
        image: ``(side, side)`` uint8.
        map_: ``(side, side)``, signed.
        scale: The value that is shown in full colour.
        caption: A line under the image.
    """
    from PIL import Image as Pictures
    from PIL import ImageDraw

    strength = np.clip(map_ / max(scale, 1e-12), -1, 1)
    colours = _colours()[np.round((strength + 1) * 127.5).astype(np.uint8)]
    opacity = 0.65 * np.abs(strength)[..., None]
    mixed = (1 - opacity) * image[..., None] + opacity * colours
    side = image.shape[0]
    canvas = np.full((side + MARGIN, side, 3), 255, np.uint8)
    canvas[:side] = np.round(mixed)
    picture = Pictures.fromarray(canvas)
    ImageDraw.Draw(picture).text((6, side + 4), caption, fill=(34, 34, 34), font_size=12)
    return picture


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(colormaps["bwr"](np.arange(256))[:, :3] * 255)
