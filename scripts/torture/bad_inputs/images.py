"""Bad pictures and DICOM files in a table of good ones."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.table_data import noise, picture, table, with_table
from scripts.torture.samples import SIZE

GREY = noise()


def _tiff(array: Any) -> bytes:
    return picture(array, "tiff")


def _float(value: float, share: float = 0.0) -> bytes:
    pixels = GREY.astype(np.float32)
    if share:
        pixels[: int(SIZE * share)] = value
    else:
        pixels[3, 3] = value
    return _tiff(pixels)


PNG, JPEG = picture(GREY), picture(GREY, "jpeg")
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty file": ("bad.png", lambda: b""),
    "half a PNG": ("bad.png", lambda: PNG[: len(PNG) // 2]),
    "PNG without end": ("bad.png", lambda: PNG[:-20]),
    "half a JPEG": ("bad.jpg", lambda: JPEG[: len(JPEG) // 2]),
    "flipped PNG": ("bad.png", lambda: PNG[:300] + bytes([PNG[300] ^ 255]) + PNG[301:]),
    "text": ("bad.png", lambda: b"Access denied\n"),
    "HTML": ("bad.png", lambda: b"<html><body>Sign in</body></html>"),
    "LFS pointer": ("bad.png", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"),
    "zeros": ("bad.png", lambda: bytes(4096)),
    "SVG": ("bad.svg", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PDF": ("bad.pdf", lambda: b"%PDF-1.4\n"),
    "NumPy": ("bad.npy", lambda: b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}"),
    "ZIP": ("bad.png", lambda: b"PK\x03\x04" + bytes(100)),
    "black": ("bad.png", lambda: picture(np.zeros((SIZE, SIZE), np.uint8))),
    "white": ("bad.png", lambda: picture(np.full((SIZE, SIZE), 255, np.uint8))),
    "one grey": ("bad.png", lambda: picture(np.full((SIZE, SIZE), 99, np.uint8))),
    "one pixel": ("bad.png", lambda: picture(np.full((1, 1), 99, np.uint8))),
    "a line": ("bad.png", lambda: picture(noise(side=1).repeat(4000, 1))),
    "colour": ("bad.png", lambda: picture(np.stack([noise(k) for k in range(3)], -1))),
    "one NaN": ("bad.tiff", lambda: _float(np.nan)),
    "one inf": ("bad.tiff", lambda: _float(np.inf)),
    "one -inf": ("bad.tiff", lambda: _float(-np.inf)),
    "half NaN": ("bad.tiff", lambda: _float(np.nan, 0.5)),
    "all NaN": ("bad.tiff", lambda: _float(np.nan, 1.0)),
    "1e300": ("bad.tiff", lambda: _float(3e38)),
    "animation": ("bad.gif", lambda: picture(GREY, "gif", save_all=True, append_images=[_image(noise(1))])),
    "pages": ("bad.tiff", lambda: picture(GREY, "tiff", save_all=True, append_images=[_image(noise(1))])),
}  # fmt: skip
"""What → file name and content."""


def _image(array: Any) -> Any:
    from PIL import Image

    return Image.fromarray(array)


def _dicom(change: Callable[[Any], None]) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.PatientID = "DX", "1"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows = dataset.Columns = SIZE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = (GREY.astype(np.uint16) * 16).tobytes()
    change(dataset)
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def _set(**values: Any) -> Callable[[Any], None]:
    def change(dataset: Any) -> None:
        for name, value in values.items():
            if value is None:
                del dataset[name]
            else:
                setattr(dataset, name, value)

    return change


DICOM: dict[str, Callable[[Any], None]] = {
    "no pixels": _set(PixelData=None),
    "half the pixels": _set(PixelData=bytes(SIZE * SIZE)),
    "empty pixels": _set(PixelData=b""),
    "no rows": _set(Rows=None),
    "rows 0": _set(Rows=0),
    "rows too many": _set(Rows=SIZE * 9),
    "no photometry": _set(PhotometricInterpretation=None),
    "unknown photometry": _set(PhotometricInterpretation="GREY"),
    "bits 13": _set(BitsAllocated=13),
    "slope 0": _set(RescaleSlope="0", RescaleIntercept="0"),
    "slope huge": _set(RescaleSlope="1e300", RescaleIntercept="0"),
    "slope text": _set(RescaleIntercept="0"),
    "window width 0": _set(WindowCenter="100", WindowWidth="0"),
    "window width negative": _set(WindowCenter="100", WindowWidth="-5"),
    "window far away": _set(WindowCenter="900000", WindowWidth="1"),
    "two frames": _set(NumberOfFrames="2", PixelData=(GREY.astype(np.uint16) * 16).tobytes() * 2),
    "all the same": _set(PixelData=bytes(2 * SIZE * SIZE)),
    "padding everywhere": _set(PixelPaddingValue=0, PixelData=bytes(2 * SIZE * SIZE)),
    "samples 3": _set(SamplesPerPixel=3),
    "palette without table": _set(PhotometricInterpretation="PALETTE COLOR"),
    "a CT": _set(Modality="CT"),
}
CUT = {"half the file": 2, "a tenth of the file": 10, "the head alone": 60}
MEANT = {
    "slope text": "an intercept without a slope is a slope of one, by the standard",
    "a CT": "the table says that it is a radiograph; a wrong tag does not make it another picture",
    "window width 0": "an empty or impossible window is left out: the whole range is shown",
    "window width negative": "an empty or impossible window is left out: the whole range is shown",
    "1e300": "a single very bright pixel is clipped by the percentiles that scale an image",
}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (name, content) in PICTURES.items():
        yield _entry(f"picture/{what}", name, content, MEANT.get(what, ""))
    for what, change in DICOM.items():
        yield _entry(f"dicom/{what}", "bad.dcm", lambda change=change: _dicom(change), MEANT.get(what, ""))  # type: ignore[misc]
    for what, part in CUT.items():
        yield _entry(f"dicom/{what}", "bad.dcm", lambda part=part: _whole()[: len(_whole()) // part])  # type: ignore[misc]
    for what, make in LINKS.items():
        yield BadInput(f"picture/{what}", with_table(_linked(make)), ("row 3", "bad.png"))


def _whole() -> bytes:
    return _dicom(lambda dataset: None)


def _entry(name: str, file: str, content: Callable[[], bytes], meant: str = "") -> BadInput:
    def write(own: Path) -> None:
        (own / "images" / file).write_bytes(content())
        (own / "table.csv").write_text(table({2: f"{file},p2,PA,IMPRESSION: Normal.,Effusion"}))

    return BadInput(name, with_table(write), ("row 3", file), meant)


def _linked(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(own: Path) -> None:
        make(own / "images" / "bad.png")
        (own / "table.csv").write_text(table({2: "bad.png,p2,PA,IMPRESSION: Normal.,Effusion"}))

    return write


LINKS: dict[str, Callable[[Path], None]] = {
    "dangling link": lambda path: path.symlink_to(path.parent / "nothing.png"),
    "link to itself": lambda path: path.symlink_to(path),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/null"),
}
