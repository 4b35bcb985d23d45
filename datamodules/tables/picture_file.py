"""Reading PNG, JPEG, JPEG 2000, TIFF and BMP as grey values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from datamodules.tables.grey_values import (
    Colour,
    Pixels,
    check_finite,
    check_size,
    grey_of_colour,
    spread_over_range,
    too_large,
)
from datamodules.tables.image_file_error import ImageFileError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP")
_TAIL = 1 << 16  # bytes: programs write remarks after the end
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF


def picture_pixels(source: Path | BinaryIO, name: Path | str, colour: Colour) -> Pixels:
    """Return the grey values of a picture: float32 ``(height, width)`` in [0, 1], turned as EXIF says.

    8 bits are taken as they are; deeper values are spread over the whole range. What is transparent is
    black.

    Args:
        source: The file.
        name: What messages call it.
        colour: Whether a picture in colour is refused or converted.

    Raises:
        ImageFileError: If it has several frames, hidden pixels only, or values that are no numbers; if it is
            in colour and that is to be refused.
        Exception: Whatever Pillow raises for what it cannot decode.
    """
    with _opened(source, name) as file:
        check_size(file.height, file.width, name)
        frames = getattr(file, "n_frames", 1)
        if frames > 1:
            raise ImageFileError(
                f"{name}: holds {frames} frames; a radiograph has one: give it as a file, or "
                "take it out of the table.",
                "several frames",
            )
        deep = _deep_layout(file)
        if deep is not None:
            return _deep_colour(source, file, deep, name, colour)
        inverted = file.format == "TIFF" and file.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
        image = _turned(file)
        _check_end(source, str(file.format), name)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        transparent = image.info.get("transparency")
        padding = values == transparent if isinstance(transparent, int) else None
        check_finite(values, name, padding)
        return spread_over_range(-values.astype(np.float64) if inverted else values, padding)
    return _eight_bits(image, name, colour)


def _opened(source: Path | BinaryIO, name: Path | str) -> ImageFile:
    from PIL import Image

    if not isinstance(source, Path):
        source.seek(0)
    try:
        return Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_large(name, str(error)) from error


def _check_end(source: Path | BinaryIO, kind: str, name: Path | str) -> None:
    """Refuse a PNG that was cut so near its end that Pillow still reads all pixels."""
    if kind != "PNG":
        return
    if isinstance(source, Path):
        data = source.read_bytes()
    else:
        source.seek(0)
        data = source.read()
    if b"IEND" not in data[-_TAIL:]:
        raise ImageFileError(
            f"{name}: the PNG has no end mark, so it was cut off; copy it again, or take it out of the "
            "table.",
            "cut off",
        )


def _turned(file: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(file)  # reads all pixels: a truncated file fails here


def _eight_bits(image: Image, name: Path | str, colour: Colour) -> Pixels:
    opacity = None
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        opacity = np.asarray(image.getchannel("A"), np.float32) / 255
    if image.mode in ("1", "L", "LA"):
        grey = np.asarray(image.convert("L") if image.mode == "1" else image.getchannel(0), np.float32) / 255
    else:
        channels = np.asarray(image.convert("RGB"), np.float32) / 255
        if opacity is not None:  # what nobody sees has no colour either
            channels = channels * (opacity > 0)[..., None]
        grey = grey_of_colour(channels, name, colour)
    return grey if opacity is None else _on_black(grey, opacity, name)


def _on_black(grey: Pixels, opacity: Pixels, name: Path | str) -> Pixels:
    if not opacity.any():
        raise ImageFileError(
            f"{name}: every pixel is transparent; save it without an alpha channel, or take it out of the "
            f"table.",
            "transparent",
        )
    return (grey * opacity).astype(np.float32)


def _deep_layout(file: ImageFile) -> str | None:
    """Return Pillow's name of the layout of 16-bit colour, of which it keeps 8 bits; None for others."""
    for tile in file.tile:
        parts = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        for part in parts:
            if isinstance(part, str) and ";16" in part and not part.startswith("I;"):
                return part
    return None


def _deep_colour(
    source: Path | BinaryIO, file: ImageFile, layout: str, name: Path | str, colour: Colour
) -> Pixels:
    """Read colour of 16 bits a channel: Pillow decodes its high bytes and, in the other order, the low.

    Args:
        source: The file.
        file: It, opened.
        layout: See `_deep_layout`.
        name: What messages call it.
        colour: See `picture_pixels`.
    """
    kind, _, order = layout.partition(";16")
    if not kind.startswith("RGB") or kind == "RGBa":
        raise ImageFileError(
            f"{name}: 16 bits a channel in the layout {layout!r}, of which only 8 can be read; save it as "
            f"16-bit grey or 16-bit RGB.",
            "unreadable depth",
        )
    if order == "N":  # what libtiff hands on is in the machine's order
        order = "L" if sys.byteorder == "little" else "B"
    other = f"{kind};16{'L' if order == 'B' else 'B'}"
    high = np.asarray(_turned(file), np.uint16)
    with _opened(source, name) as again:
        again.tile = [tile._replace(args=_replaced(tile.args, layout, other)) for tile in again.tile]
        low = np.asarray(_turned(again), np.uint16)
    values = high * 256 + low
    spread = spread_over_range(values[..., :3])
    if values.shape[-1] == 3:
        return grey_of_colour(spread, name, colour)
    opacity = values[..., 3].astype(np.float32) / 65535
    spread = spread_over_range(values[..., :3], np.repeat(opacity[..., None] == 0, 3, axis=-1))
    return _on_black(grey_of_colour(spread, name, colour), opacity, name)


def _replaced(args: tuple[Any, ...] | str | None, old: str, new: str) -> tuple[Any, ...] | str | None:
    if isinstance(args, tuple):
        return tuple(new if part == old else part for part in args)
    return new if args == old else args
