"""Radiographs as files: a ramp, written as a picture or as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

SIZE = 32
RAMP = np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))  # dark on the left, bright on the right


def save(path: Path, values: Any, **options: Any) -> Path:
    Image.fromarray(np.asarray(values)).save(path, **options)
    return path


def save_dicom(path: Path, stored: Any, **attributes: Any) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    stored = np.asarray(stored)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    dataset.PixelData = stored.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def columns(image: torch.Tensor) -> torch.Tensor:
    """Mean grey of each column, in [0, 1]."""
    return image.float().mean((0, 1)) / 255


def assert_ramp(image: torch.Tensor, tolerance: float = 0.02) -> None:
    assert image.dtype == torch.uint8 and image.shape == (1, SIZE, SIZE)
    assert (columns(image) - torch.from_numpy(RAMP[0]).float()).abs().max() <= tolerance
