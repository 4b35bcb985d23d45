"""From decoded pixels, whatever their depth and channels, to grey values in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamodules.tables.image_file_error import ImageFileError

Colour = Literal["refuse", "convert"]
Pixels = npt.NDArray[Any]

MOST_PIXELS = 178_956_970
"""More are refused: the limit from which Pillow calls a picture a decompression bomb."""

_LONGEST = 20  # times the shorter side; resized by that one, a strip would not fit into memory
_TINT = 16 / 255  # less between the channels of a pixel is what compression leaves of a grey image
_TINTED_SHARE = 0.001  # an image is in colour if more of its pixels than this have a tint
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def spread(values: Pixels, low: float, high: float) -> Pixels:
    """Return float32 values of which ``low`` has become 0 and ``high`` 1; what lies outside is cut."""
    span = max(float(high) - float(low), np.finfo(np.float64).tiny)
    return np.clip((values.astype(np.float64) - low) / span, 0, 1).astype(np.float32)


def spread_over_range(values: Pixels, padding: Pixels | None = None) -> Pixels:
    """Return float32 values of which the lowest has become 0 and the highest 1.

    Args:
        values: Finite.
        padding: Pixels that say nothing: they do not count, and become 0; None for none.
    """
    shown = values if padding is None else values[~padding]
    grey = spread(values, shown.min(), shown.max()) if shown.size else np.zeros(values.shape, np.float32)
    return grey if padding is None else np.where(padding, np.float32(0), grey)


def check_finite(values: Pixels, name: Path | str, padding: Pixels | None = None) -> None:
    """Raise an ImageFileError if a value is NaN, infinite, or too large for float32.

    Args:
        values: The pixels.
        name: Their file, for the message.
        padding: Pixels that say nothing, and may be anything.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(values) <= np.finfo(np.float32).max)
    if padding is not None:
        wrong &= ~padding
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ImageFileError(
            f"{name}: {int(wrong.sum()):,} of {wrong.size:,} pixels are no usable numbers, the first, at "
            f"(row, column) {place[:2]}, is {values[place]}; write the file again without NaN, infinite and "
            f"overflowing values, or take it out of the table.",
            "not finite",
        )


def grey_of_colour(channels: Pixels, name: Path | str, colour: Colour) -> Pixels:
    """Return the luma (ITU-R 601) of pixels in colour, if they are grey or may be converted.

    Args:
        channels: ``(height, width, 3)`` in [0, 1].
        name: Their file, for the message.
        colour: Whether an image in colour is refused or converted.

    Raises:
        ImageFileError: If it is in colour and that is to be refused.
    """
    tinted = (channels.max(-1) - channels.min(-1) > _TINT).mean()
    if tinted > _TINTED_SHARE and colour == "refuse":
        raise ImageFileError(
            f"{name}: in colour ({tinted:.1%} of its pixels have a tint); a radiograph is grey. Take it out "
            f"of the table, or set colour: convert.",
            "colour",
        )
    return (channels @ _LUMA).astype(np.float32)


def check_size(height: int, width: int, name: Path | str) -> None:
    """Raise an ImageFileError if a picture has no pixels, or so many that it can only be meant to harm."""
    if height < 1 or width < 1:
        raise ImageFileError(
            f"{name}: its header says {height} × {width} pixels; a picture has at least one: fetch it again, "
            f"or take it out of the table."
        )
    if max(height, width) > _LONGEST * min(height, width):
        raise ImageFileError(
            f"{name}: its header says {height:,} × {width:,} pixels, a strip that is no radiograph; take it "
            f"out of the table.",
            "strip",
        )
    if height * width > MOST_PIXELS:
        raise too_large(name, f"its header says {height:,} × {width:,}")


def too_large(name: Path | str, found: str) -> ImageFileError:
    """Return the error about a picture with more than `MOST_PIXELS`.

    Args:
        name: Its file.
        found: How large it says that it is.
    """
    return ImageFileError(
        f"{name}: has more than the {MOST_PIXELS:,} pixels that are read ({found}; a decompression bomb?); "
        f"scale it down, or take it out of the table.",
        "too large",
    )
