"""Reading DICOM as grey values: the display pipeline of the standard (PS3.4, annex N)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datamodules.tables.dicom_lookup import looked_up
from datamodules.tables.grey_values import (
    Colour,
    Pixels,
    check_finite,
    check_size,
    grey_of_colour,
    spread,
    spread_over_range,
)
from datamodules.tables.image_file_error import ImageFileError

if TYPE_CHECKING:
    from pydicom import Dataset

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")  # pydicom makes RGB of each
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_SQUARE = 1.02  # pixels whose sides differ by more would show a body out of proportion


def dicom_pixels(path: Path, colour: Colour) -> Pixels:
    """Return the grey values of a DICOM file: float32 ``(height, width)`` in [0, 1], air dark.

    Stored values go through the modality LUT or the rescaling, then through the first VOI LUT, or the first
    window that has a width. Without one of these, the lowest value becomes 0 and the highest 1. Padding does
    not count and is black. MONOCHROME1, and the presentation LUT shape INVERSE, are inverted.

    Args:
        path: The file; without preamble, file meta information or transfer syntax as it may be.
        colour: Whether an image in colour is refused or converted.

    Raises:
        ImageFileError: If it has no pixels, several frames, no decoder, pixels that are not square, values
            that are no numbers, or attributes that make no sense; if it is in colour and that is to be
            refused.
        Exception: Whatever pydicom raises for what it cannot read.
    """
    dataset = _dataset(path)
    stored = _decoded(dataset, path)
    kind = str(dataset.get("PhotometricInterpretation") or "")
    if kind == "PALETTE COLOR":
        return grey_of_colour(_of_palette(dataset, stored, path), path, colour)
    if stored.ndim == 3 and kind in (*_COLOUR, *_GREY):
        deep = stored.dtype.itemsize > 1
        return grey_of_colour(spread_over_range(stored) if deep else stored / 255, path, colour)
    if kind not in _GREY:
        raise ImageFileError(
            f"{path}: PhotometricInterpretation {kind!r} is not read; convert the file to MONOCHROME2 or RGB."
        )
    return _displayed(dataset, stored, path)


def modality_values(path: Path) -> tuple[Dataset, Pixels]:
    """Return a DICOM file and its values after the modality LUT, ``(rows, columns)``: of a CT, in HU.

    Raises:
        ImageFileError: As `dicom_pixels`.
        Exception: Whatever pydicom raises for what it cannot read.
    """
    dataset = _dataset(path)
    stored = _decoded(dataset, path)
    return dataset, _rescaled(dataset, stored, path)


def numbers(dataset: Dataset, keyword: str, path: Path) -> list[float]:
    """Return the numbers of an attribute; none where it is missing or empty.

    Raises:
        ImageFileError: If it holds something else.
    """
    try:
        value = dataset.get(keyword)
        values = [value] if isinstance(value, (int, float, str)) or value is None else list(value)
        return [float(v) for v in values if v is not None and str(v).strip()]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ImageFileError(
            f"{path}: {keyword} holds no numbers ({error}); correct or delete that attribute."
        ) from error


def _dataset(path: Path) -> Dataset:
    """Open a file, check what can be checked before its pixels are decoded, and add what it lacks."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset = pydicom.dcmread(path, force=True)
    there = [keyword for keyword in _PIXELS if keyword in dataset]
    if not there:
        raise ImageFileError(
            f"{path}: a DICOM file without pixels (or no DICOM file); take it out of the table."
        )
    frames = numbers(dataset, "NumberOfFrames", path)
    if frames and frames[0] > 1:
        raise ImageFileError(
            f"{path}: holds {frames[0]:.0f} frames; a radiograph has one: give it as a file, "
            "or take it out of the table.",
            "several frames",
        )
    if "NumberOfFrames" in dataset:
        del dataset.NumberOfFrames  # 0 and nothing occur, and mean one
    for keyword in ("Rows", "Columns"):
        if not numbers(dataset, keyword, path):
            raise ImageFileError(f"{path}: has no {keyword}; fetch it again, or take it out of the table.")
    check_size(int(dataset.Rows), int(dataset.Columns), path)
    _check_square(dataset, path)
    meta = getattr(dataset, "file_meta", None)
    dataset.file_meta = meta if meta is not None else FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        if dataset[there[0]].is_undefined_length:
            raise ImageFileError(
                f"{path}: its pixels are compressed, but it has no TransferSyntaxUID that says how; write "
                f"the file again with its file meta information, or take it out of the table."
            )
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little is not False else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _check_square(dataset: Dataset, path: Path) -> None:
    for keyword in _SPACINGS:
        sides = numbers(dataset, keyword, path)
        if len(sides) == 2 and min(sides) > 0:
            if max(sides) > _SQUARE * min(sides):
                raise ImageFileError(
                    f"{path}: {keyword} {sides[0]:g} by {sides[1]:g}: pixels that are not square; resample "
                    f"the image, or take it out of the table.",
                    "pixels not square",
                )
            return


def _decoded(dataset: Dataset, path: Path) -> Pixels:
    """Return the stored values, without what unused bits hold (overlays of old files)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        stored: Pixels = dataset.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        raise ImageFileError(
            f"{path}: cannot decode {syntax.name} ({error}); install the plug-in it names (e.g. pip install "
            f"pylibjpeg pylibjpeg-libjpeg), or convert the file."
        ) from error
    except (AttributeError, ValueError) as error:
        raise ImageFileError(
            f"{path}: cannot be read as an image: its pixels do not fit its attributes ({error}); it may be "
            f"truncated: fetch it again, or take it out of the table."
        ) from error
    if stored.ndim - (int(dataset.SamplesPerPixel) > 1) > 2:
        raise ImageFileError(
            f"{path}: holds {len(stored)} frames, though no NumberOfFrames says so; a radiograph "
            "has one: give it as a file, or take it out of the table.",
            "several frames",
        )
    if "PixelData" not in dataset or syntax.is_compressed:
        return stored
    bits, used = int(dataset.BitsAllocated), int(dataset.BitsStored)
    shift = int(dataset.get("HighBit") or used - 1) + 1 - used
    if shift > 0 and bits > used and stored.ndim == 2:  # pydicom takes the lowest bits, whatever HighBit says
        whole = np.frombuffer(
            dataset.PixelData, stored.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
        )
        whole = whole[: stored.size].astype(stored.dtype).reshape(stored.shape)
        above = bits - used - shift
        stored = whole << above >> above + shift  # a signed value keeps its sign
    return stored


def _of_palette(dataset: Dataset, stored: Pixels, path: Path) -> Pixels:
    from pydicom.pixels import apply_color_lut

    try:
        channels = apply_color_lut(stored, dataset)[..., :3]
    except (ValueError, TypeError, AttributeError) as error:
        raise ImageFileError(
            f"{path}: PALETTE COLOR with a palette that cannot be used ({error}); convert the file to RGB."
        ) from error
    return channels / (255 if channels.max() < 256 else 65535)  # 8-bit entries stand in 16 bits too


def _displayed(dataset: Dataset, stored: Pixels, path: Path) -> Pixels:
    padding = _padding(dataset, stored, path)
    if padding.all():
        raise ImageFileError(
            f"{path}: blank, every pixel is padding (PixelPaddingValue "
            f"{dataset.get('PixelPaddingValue')}); take it out of the table, or delete that attribute.",
            "blank",
        )
    values = _rescaled(dataset, stored, path)
    check_finite(values, path, padding)
    values = np.where(padding, values[~padding].min(), values)
    if dataset.get("VOILUTSequence") and "LUTData" in dataset.VOILUTSequence[0]:
        values, top = looked_up(dataset.VOILUTSequence[0], values, dataset, path)
        grey = spread(values, 0, top)
    else:
        grey = _windowed(dataset, values, path)
    shape = str(dataset.get("PresentationLUTShape") or "")
    if dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE":
        grey = 1 - grey
    return np.where(padding, np.float32(0), grey)


def _rescaled(dataset: Dataset, stored: Pixels, path: Path) -> Pixels:
    """Apply the modality LUT, or slope and intercept: float64."""
    if dataset.get("ModalityLUTSequence") and "LUTData" in dataset.ModalityLUTSequence[0]:
        return looked_up(dataset.ModalityLUTSequence[0], stored.astype(np.float64), dataset, path)[0]
    slope = (numbers(dataset, "RescaleSlope", path) or [1.0])[0]
    intercept = (numbers(dataset, "RescaleIntercept", path) or [0.0])[0]
    if slope == 0:
        raise ImageFileError(
            f"{path}: blank, for RescaleSlope is 0; correct or delete that attribute.", "blank"
        )
    with np.errstate(all="ignore"):  # what comes of it is checked
        return stored.astype(np.float64) * slope + intercept


def _windowed(dataset: Dataset, values: Pixels, path: Path) -> Pixels:
    """Apply the first window that has a width (PS3.3, C.11.2.1.2 and 3); without one, spread the values."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageFileError(
            f"{path}: VOILUTFunction {function!r} is none of LINEAR, LINEAR_EXACT, SIGMOID; correct or "
            f"delete that attribute."
        )
    windows = zip(numbers(dataset, "WindowCenter", path), numbers(dataset, "WindowWidth", path), strict=False)
    usable = ((c, w) for c, w in windows if np.isfinite(c) and np.isfinite(w) and w > 0)
    center, width = next(usable, (0.0, 0.0))
    if not width:
        return spread_over_range(values)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            grey = (1 / (1 + np.exp(-4 * (values - center) / width))).astype(np.float32)
    elif function == "LINEAR" and width > 1:
        grey = spread(values, center - width / 2, center + width / 2 - 1)
    else:  # LINEAR knows no width below 1, but files have it
        grey = spread(values, center - width / 2, center + width / 2)
    if np.ptp(grey) == 0 and np.ptp(values):
        raise ImageFileError(
            f"{path}: blank, for its values run from {values.min():g} to {values.max():g} and its window "
            f"(WindowCenter {center:g}, WindowWidth {width:g}) shows none of that; correct or delete these "
            f"attributes, or take the file out of the table.",
            "blank",
        )
    return grey


def _padding(dataset: Dataset, stored: Pixels, path: Path) -> Pixels:
    """Return which pixels are padding: bool, of the shape of the image."""
    floats = [
        *numbers(dataset, "FloatPixelPaddingValue", path),
        *numbers(dataset, "DoubleFloatPixelPaddingValue", path),
    ]
    ends = numbers(dataset, "PixelPaddingValue", path)[:1]
    if np.issubdtype(stored.dtype, np.floating):
        same = [np.isnan(stored) if np.isnan(value) else stored == value for value in (*floats, *ends)]
        return np.logical_or.reduce([np.zeros(stored.shape, bool), *same])
    if not ends:
        return np.zeros(stored.shape, bool)
    ends += numbers(dataset, "PixelPaddingRangeLimit", path)[:1]
    bits = int(dataset.BitsStored)
    lowest = -(2 ** (bits - 1)) if np.issubdtype(stored.dtype, np.signedinteger) else 0
    # Files give -2000 as 63536 and the other way round, or with bits that pixels do not have.
    wrapped = [(int(end) - lowest) % 2**bits + lowest for end in ends]
    return (stored >= min(wrapped)) & (stored <= max(wrapped))
