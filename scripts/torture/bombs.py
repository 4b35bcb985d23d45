"""Small files that become large ones when they are read: a function writes one and returns its reader."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.torture.paths import read_corpus, read_table, small_store

Reading = Callable[[], None]


def png_bomb(side: int) -> bytes:
    """Return a grey PNG of that many pixels a side, all black: a few bytes a row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * (side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _table_with(directory: Path, name: str, content: bytes) -> Reading:
    from PIL import Image

    (directory / "images").mkdir()
    Image.effect_noise((64, 64), 50).save(directory / "images" / "good.png")
    (directory / "images" / name).write_bytes(content)
    (directory / "table.csv").write_text(
        "image,report\n" + "".join(f"{row},IMPRESSION: Normal.\n" for row in ("good.png", name))
    )
    return lambda: read_table(directory)


def _png(directory: Path) -> Reading:
    return _table_with(directory, "bomb.png", png_bomb(40_000))


def _dicom(directory: Path) -> Reading:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "1", "MONOCHROME2", 1
    dataset.Rows = dataset.Columns = 50_000
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = b"\0" * (50_000 * 50_000 // 10)  # a tenth, which is 250 MB
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return _table_with(directory, "bomb.dcm", content.getvalue())


def _csv(directory: Path) -> Reading:
    reading = _table_with(directory, "other.png", b"")
    (directory / "table.csv").unlink()
    with gzip.open(directory / "table.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"image,report\n")
        for _ in range(600):
            file.write(b'good.png,"' + b"a" * (10 << 20) + b'"\n')
    return reading


def _tar(directory: Path) -> Reading:
    tars = directory / "tars"
    tars.mkdir()
    with tarfile.open(tars / "00000.tar", "w") as tar:
        for name, content in (("0.png", png_bomb(40_000)), ("0.txt", b"IMPRESSION: Normal.")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return lambda: read_corpus(str(tars))


def _tar_size(directory: Path) -> Reading:
    tars = directory / "tars"
    tars.mkdir()
    member = tarfile.TarInfo("0.png")
    member.size = 1 << 40
    (tars / "00000.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    return lambda: read_corpus(str(tars))


def _parquet(directory: Path) -> Reading:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = directory / "parquet"
    place.mkdir()
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 50_000]))
    pictures = pa.DictionaryArray.from_arrays(
        pa.array([0] * 100_000, pa.int32()), pa.array([b"\x89PNG" * 25])
    )
    pq.write_table(pa.table({"text": cells, "image": pictures}), place / "0.parquet", compression="zstd")
    return lambda: read_corpus(str(place))


def _yaml(directory: Path) -> list[str]:
    path = directory / "bomb.yaml"
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 10)]
    path.write_text("\n".join(lines) + "\n")
    return ["main", "fit", "-c", "configs/pretrain.yaml", "-c", str(path)]


def _deep_yaml(directory: Path) -> list[str]:
    path = directory / "bomb.yaml"
    path.write_text("model: " + "[" * 20_000 + "]" * 20_000 + "\n")
    return ["main", "fit", "-c", "configs/pretrain.yaml", "-c", str(path)]


def _deep_manifest(directory: Path) -> Reading:
    from synthesis.store import PairStore

    store = small_store(directory / "store")
    (store / "manifest.json").write_text("[" * 200_000 + "]" * 200_000)
    return lambda: print(PairStore(store))


def _safetensors(directory: Path) -> Reading:
    from synthesis.store.shard import Shard

    head = json.dumps({"images": {"dtype": "U8", "shape": [1 << 40], "data_offsets": [0, 1 << 40]}}).encode()
    (directory / "bomb.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    return lambda: print(len(Shard.open(directory / "bomb.safetensors")))


def _npz(directory: Path) -> Reading:
    import zipfile

    path = directory / "bomb.npz"
    head = io.BytesIO()
    import numpy as np

    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30,)})
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("y.npy", "w", force_zip64=True) as f,
    ):
        f.write(head.getvalue())
        for _ in range(600):
            f.write(b"\0" * (10 << 20))

    def read() -> None:
        from scripts.comparison.draws import Draws

        Draws.read(path)

    return read


BOMBS: dict[str, Callable[[Path], Any]] = {
    "PNG": _png, "DICOM": _dicom, "packed CSV": _csv, "PNG in a tar": _tar, "size in a tar": _tar_size,
    "Parquet": _parquet, "YAML aliases": _yaml, "deep YAML": _deep_yaml, "deep manifest": _deep_manifest,
    "size in safetensors": _safetensors, "npz": _npz,
}  # fmt: skip
"""Name → writes the file and returns what reads it."""
