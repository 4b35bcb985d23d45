"""Reading a radiograph from PNG, JPEG, TIFF or DICOM, always the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom import Dataset

Colour = Literal["refuse", "convert"]
Fit = Literal["crop", "pad"]
_Pixels = npt.NDArray[Any]

_FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP")
_TINT = 16  # of 255: less between the channels of a pixel is what compression leaves of a grey image
_TINTED_SHARE = 0.001  # an image is in colour if more of its pixels than this have a tint


class ImageFileError(ValueError):
    """An image file cannot be used; the message says why and what to do.

    Args:
        message: What is wrong, with the file and the remedy.
        kind: What such files are counted by, e.g. "colour".
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


def read_radiograph(
    path: str | Path, image_size: int, fit: Fit = "crop", colour: Colour = "refuse"
) -> Tensor:
    """Read one radiograph.

    Grey values: 8-bit files are read as they are. Deeper ones (16-bit PNG or TIFF, DICOM) are spread over the
    whole range. DICOM goes through its modality LUT, then through its first window or VOI LUT. Without a
    window, and in the other formats, the lowest value (DICOM padding aside) becomes 0 and the highest 1.
    MONOCHROME1 is inverted, so that air is dark. A file in a colour format whose channels agree is grey.

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
        ImageFileError: If the file is missing, empty, truncated, no image, in colour, of several frames, or
            blank.
    """
    return square(read_grey(Path(path), colour), image_size, fit)


def read_grey(path: Path, colour: Colour = "refuse") -> npt.NDArray[np.float32]:
    """Read a radiograph in its own size, see `read_radiograph`: ``(height, width)`` in [0, 1], air dark."""
    if not path.is_file():
        raise ImageFileError(
            f"{path}: no such file; correct the image folder or the name in the table.", "missing file"
        )
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path}: the file is empty (0 bytes); fetch it again.", "empty file")
    return _checked(
        lambda: _from_dicom(path, colour) if _is_dicom(path) else _from_picture(path, path, colour), path
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
    return _checked(lambda: _from_picture(file, name, colour), name)


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
    image = F.interpolate(torch.from_numpy(grey)[None, None], scaled, mode="bilinear", antialias=True)[0]
    after = [image_size - n - b for n, b in zip(scaled, before, strict=True)]
    sides = (before[1], after[1], before[0], after[0])  # F.pad cuts where they are negative
    return F.pad(image, sides).mul(255).round().clamp(0, 255).to(torch.uint8)


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


def _checked(read: Callable[[], _Pixels], name: Path | str) -> _Pixels:
    """Read, and name what cannot be read or is blank."""
    try:
        grey = read()
    except ImageFileError:
        raise
    except Exception as error:  # the decoders raise many kinds
        raise ImageFileError(
            f"{name}: cannot be read as an image ({type(error).__name__}: {error}); it may be truncated or "
            f"no image at all: fetch it again, or take it out of the table."
        ) from error
    if grey.min() == grey.max():
        raise ImageFileError(
            f"{name}: blank, every pixel has the same value; take it out of the table.", "blank"
        )
    return grey


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def _from_picture(source: Path | BinaryIO, path: Path | str, colour: Colour) -> _Pixels:
    from PIL import Image, ImageOps

    with Image.open(source, formats=_FORMATS) as file:
        frames = getattr(file, "n_frames", 1)
        if frames > 1:
            raise ImageFileError(f"{path}: holds {frames} frames; a radiograph has one.", "several frames")
        image = ImageOps.exif_transpose(file)  # reads all pixels: a truncated file fails here
        if image.mode in ("L", "LA", "1"):
            return np.asarray(image.convert("L"), np.float32) / 255
        if image.mode.startswith(("I", "F")):
            values = np.asarray(image, np.float32)
            return _spread(values, values.min(), values.max())
        return _grey(image.convert("RGB"), path, colour)


def _from_dicom(path: Path, colour: Colour) -> _Pixels:
    import pydicom
    from PIL import Image

    dataset = pydicom.dcmread(path, force=True)
    if "PixelData" not in dataset:
        raise ImageFileError(
            f"{path}: a DICOM file without pixels (or no DICOM file); take it out of the table."
        )
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        frames = int(dataset.NumberOfFrames)
        raise ImageFileError(f"{path}: holds {frames} frames; a radiograph has one.", "several frames")
    try:
        stored = dataset.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise ImageFileError(
            f"{path}: cannot decode {syntax} ({error}); install the plug-in it names, or convert the file."
        ) from error
    if stored.ndim == 3:
        return _grey(Image.fromarray(stored.astype(np.uint8)), path, colour)
    return _displayed(dataset, stored)


def _displayed(dataset: Dataset, stored: _Pixels) -> _Pixels:
    """Follow the display pipeline of DICOM: modality LUT, window or VOI LUT, polarity."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, dataset)
    padding = stored == dataset.get("PixelPaddingValue", np.nan)
    if dataset.get("VOILUTSequence"):
        values = apply_voi_lut(np.asarray(values, np.int64), dataset)
        low, high = 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif "WindowWidth" in dataset and "WindowCenter" in dataset:
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), dataset)  # the values that the window's ends become
        values = apply_voi_lut(values, dataset)
    else:
        shown = values[~padding]
        low, high = (shown.min(), shown.max()) if shown.size else (0, 0)
    grey = _spread(np.asarray(values, np.float32), low, high)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        grey = 1 - grey
    return np.where(padding, np.float32(0), grey)


def _spread(values: _Pixels, low: float, high: float) -> _Pixels:
    return np.clip((values - low) / max(float(high) - float(low), 1e-9), 0, 1).astype(np.float32)


def _grey(image: Image, path: Path | str, colour: Colour) -> _Pixels:
    channels = np.asarray(image, np.int16)
    tinted = (channels.max(-1) - channels.min(-1) > _TINT).mean()
    if tinted > _TINTED_SHARE and colour == "refuse":
        raise ImageFileError(
            f"{path}: in colour ({tinted:.1%} of its pixels have a tint); a radiograph is grey. Take it out "
            f"of the table, or set colour: convert.",
            "colour",
        )
    return np.asarray(image.convert("L"), np.float32) / 255
