"""Reading a radiograph from PNG, JPEG, TIFF or DICOM, always the same way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.tables.dicom_file import dicom_pixels
from datamodules.tables.grey_values import Colour as Colour
from datamodules.tables.grey_values import Pixels, check_finite
from datamodules.tables.image_file_error import ImageFileError as ImageFileError
from datamodules.tables.picture_file import FORMATS, picture_pixels

Fit = Literal["crop", "pad"]

_LEAST_OTHER = (
    0.001  # a picture is blank if fewer pixels differ: one of 3e38 among floats makes all others black
)

_DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
_DICOM_STARTS = (
    b"\2\0",
    b"\x08\0",
    b"\0\x08",
)  # first group of a file without preamble, in either byte order
_PICTURE_STARTS = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"BM",
    b"\0\0\0\x0cjP",
    b"\xff\x4f\xff\x51",
)


def read_radiograph(
    path: str | Path, image_size: int, fit: Fit = "crop", colour: Colour = "refuse"
) -> Tensor:
    """Read one radiograph.

    Grey values: 8-bit files are read as they are. Deeper ones (16-bit PNG or TIFF, grey or not, and DICOM)
    are spread over the whole range. DICOM goes through its modality LUT, then through its first window with a
    width, or its VOI LUT. Without these, and in the other formats, the lowest value (DICOM padding aside)
    becomes 0 and the highest 1. MONOCHROME1 is inverted, so that air is dark, and so are TIFF files whose
    zero is white. What is transparent is black. A file in a colour format whose channels agree is grey.
    What a file is, its content says and not its name.

    Geometry: bilinear with antialiasing. For "crop" the shorter side becomes ``image_size`` and the middle
    square is cut out. For "pad" the longer side does and the rest is made black. Nothing is mirrored.

    Args:
        path: The file.
        image_size: Height and width of the result, in pixels.
        fit: How a rectangle becomes a square.
        colour: Whether a file in colour is refused or converted to its luma (ITU-R 601).

    Returns:
        uint8 ``(1, image_size, image_size)``, air dark.

    Raises:
        ImageFileError: If the file is missing, empty, truncated, no image, in colour, of several frames, with
            values that are no numbers, with pixels that are not square, or blank once it is displayed.
    """
    return square(read_grey(Path(path), colour), image_size, fit)


def read_grey(path: Path, colour: Colour = "refuse") -> npt.NDArray[np.float32]:
    """Read a radiograph in its own size, see `read_radiograph`: ``(height, width)`` in [0, 1], air dark."""
    _check_there(path)
    return _checked(
        lambda: dicom_pixels(path, colour) if _is_dicom(path) else picture_pixels(path, path, colour), path
    )


def read_picture(file: BinaryIO, name: str, colour: Colour = "refuse") -> npt.NDArray[np.float32]:
    """Read an encoded picture (PNG, JPEG, TIFF) from memory: ``(height, width)`` in [0, 1], see `read_grey`.

    Args:
        file: Its bytes.
        name: What messages call it.
        colour: See `read_radiograph`.

    Raises:
        ImageFileError: If it cannot be used.
    """
    return _checked(lambda: picture_pixels(file, name, colour), name)


def square(grey: npt.NDArray[np.float32], image_size: int, fit: Fit) -> Tensor:
    """Resize a picture and cut or border it to a square, see `read_radiograph`.

    Args:
        grey: ``(height, width)`` in [0, 1].
        image_size: Height and width of the result.
        fit: How a rectangle becomes a square.

    Returns:
        uint8 ``(1, image_size, image_size)``.
    """
    scaled, before = framing(grey.shape, image_size, fit)
    image = torch.from_numpy(grey)[None, None]
    if scaled != grey.shape:  # else it would be the same, at a third of the time of reading a small one
        image = F.interpolate(image, scaled, mode="bilinear", antialias=True)
    after = [image_size - n - b for n, b in zip(scaled, before, strict=True)]
    sides = (before[1], after[1], before[0], after[0])  # F.pad cuts where they are negative
    return F.pad(image[0], sides).mul(255).round().clamp(0, 255).to(torch.uint8)


def framing(shape: tuple[int, ...], image_size: int, fit: Fit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how `square` frames a picture.

    Args:
        shape: Its height and width.
        image_size: Height and width of the result.
        fit: How a rectangle becomes a square.

    Returns:
        Height and width that it is resized to, and the rows and columns that are then put before it;
        negative where as many are cut off.
    """
    side = min(shape) if fit == "crop" else max(shape)
    scaled = tuple(max(1, round(n * image_size / side)) for n in shape)
    return scaled, tuple((image_size - n) // 2 for n in scaled)


def _checked(read: Callable[[], Pixels], name: Path | str) -> Pixels:
    """Read, and name what cannot be read, has values that are no numbers, or is blank."""
    try:
        grey = read()
    except ImageFileError:
        raise
    except PermissionError as error:
        raise ImageFileError(f"{name}: cannot be opened ({error.strerror}); correct its rights.") from error
    except Exception as error:  # the decoders raise many kinds
        raise ImageFileError(
            f"{name}: cannot be read as an image ({type(error).__name__}: {error}); it may be truncated, or "
            f"no image at all ({', '.join(FORMATS)} and DICOM are read): fetch it again, or take it out of "
            f"the table."
        ) from error
    check_finite(grey, name)
    other = _other_pixels(grey)
    if other < _LEAST_OTHER * grey.size:
        which = "every pixel has" if not other else f"all but {other:,} of {grey.size:,} pixels have"
        raise ImageFileError(f"{name}: blank, {which} the same value; take it out of the table.", "blank")
    return grey


def _other_pixels(grey: Pixels) -> int:
    """Return how many pixels have another level, of 256, than most; all of them if many have."""
    step = max(1, int((grey.size / 2**16) ** 0.5))
    for part in (grey[::step, ::step], grey):  # the whole only where a part of it looks blank
        levels = np.rint(part * 255).astype(np.uint8)
        other = part.size - int(np.bincount(levels.ravel()).max())
        if other > 0.02 * part.size:
            return int(grey.size)
    return other


def _check_there(path: Path) -> None:
    fault = "no such file"
    try:
        if path.is_file():
            if path.stat().st_size:
                return
            fault = ""
        elif path.is_symlink():
            fault += f", but a link to {os.readlink(path)}, which is not there"
        elif path.exists():
            fault += ", but a folder" if path.is_dir() else ", but a device or pipe"
    except OSError as error:  # too long a name, a folder that may not be read
        fault += f" that can be looked at ({error.strerror})"
    if not fault:
        raise ImageFileError(f"{path}: the file is empty (0 bytes); fetch it again.", "empty file")
    raise ImageFileError(
        f"{path}: {fault}; correct the image folder or the name in the table.", "missing file"
    )


def _is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: by what it holds, and only where that says nothing by its name."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    if start.startswith(_PICTURE_STARTS):
        return False
    return path.suffix.lower() in _DICOM_SUFFIXES or start.startswith(_DICOM_STARTS)
