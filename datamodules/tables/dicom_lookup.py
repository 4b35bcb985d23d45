"""Lookup tables of DICOM, as files hold them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from datamodules.tables.grey_values import Pixels
from datamodules.tables.image_file_error import ImageFileError

if TYPE_CHECKING:
    from pydicom import Dataset


def looked_up(table: Dataset, values: Pixels, dataset: Dataset, path: Path) -> tuple[Pixels, int]:
    """Send values through a modality or VOI LUT (PS3.3, C.11.1.1 and C.11.2.1).

    pydicom's own function reads neither two 8-bit entries in a word, nor tables of 12 bits, nor a first value
    that was written with the wrong sign.

    Args:
        table: Item of the sequence, with LUTDescriptor and LUTData.
        values: The pixels, float64.
        dataset: The file's attributes.
        path: The file, for messages.

    Returns:
        What the table makes of them, float64; and the largest value of as many bits as its entries need,
        whatever the descriptor says of them.

    Raises:
        ImageFileError: If the table is not as long as it says.
    """
    try:
        count, first, _ = (int(number) for number in table.LUTDescriptor)
    except (ValueError, TypeError, AttributeError) as error:
        raise ImageFileError(
            f"{path}: LUTDescriptor {table.get('LUTDescriptor')!r} is no list of three numbers; correct it, "
            f"or delete the lookup table."
        ) from error
    count = count % 65536 or 65536
    if first > 32767 and values.min() < 0:
        first -= 65536  # signed, but written as unsigned
    elif first < 0 <= values.min():
        first += 65536 if values.max() > 32767 else 0
    entries = _entries(table, count, dataset)
    if entries is None:
        raise ImageFileError(
            f"{path}: its lookup table has LUTData of {len(np.atleast_1d(table.LUTData))} values, which is "
            f"neither {count} entries of 8 nor of 16 bits as its LUTDescriptor says; correct or delete it."
        )
    positions = np.clip(np.rint(values - first), 0, count - 1).astype(np.int64)
    top = 2 ** int(entries.max()).bit_length() - 1
    return entries[positions].astype(np.float64), max(top, 1)


def _entries(table: Dataset, count: int, dataset: Dataset) -> npt.NDArray[Any] | None:
    """Return the entries: one a word, or two in one; None if there are not as many."""
    data = table.LUTData
    if not isinstance(data, bytes):
        words = np.atleast_1d(np.asarray(data, np.int64)).astype("<u2")
        data, order = words.tobytes(), "<"
    else:
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    if len(data) == 2 * count:
        return np.frombuffer(data, f"{order}u2")
    if len(data) == count + count % 2:
        packed = np.frombuffer(data, np.uint8)
        if order == ">":  # the first of a pair stands in the low byte of its word
            packed = packed.reshape(-1, 2)[:, ::-1].reshape(-1)
        return packed[:count]
    return None
