"""Boxes of a list, checked where they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from datamodules.tables.table_error import TableError


def drawn_box(place: str, value: Any, corners: Sequence[Any], size: tuple[int, int] | None) -> list[float]:
    """Return a box as regions have it: x, y, width, height (see `datamodules.tables.regions`).

    Args:
        place: File and row, for messages.
        value: What stands there, for messages.
        corners: Left, top, right, bottom, in pixels.
        size: Height and width of the image that it was drawn on; None if that is not known.

    Raises:
        TableError: If these are no numbers, no box, or one outside its image.
    """

    def refused(reason: str) -> TableError:
        return TableError(f"{place}, value {str(value)[:80]}: {reason}")

    try:
        left, top, right, bottom = (float(corner) for corner in corners)
    except (TypeError, ValueError):
        raise refused("is no box of four numbers; correct it.") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise refused("is no box of four finite numbers; correct it.")
    if right <= left or bottom <= top:
        raise refused(
            f"is empty, or its corners are swapped (left {left:g}, top {top:g}, right {right:g}, bottom "
            f"{bottom:g}); correct it."
        )
    height, width = size or (math.inf, math.inf)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        within = f"of {width:g} × {height:g} pixels (width × height)" if size else ""
        raise refused(f"lies outside its image {within}".rstrip() + "; correct it.")
    return [left, top, right - left, bottom - top]
