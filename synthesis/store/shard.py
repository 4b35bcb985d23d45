"""One file of pairs: images, and packed records and masks, in safetensors, read pair by pair."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthesis.cases import Case, Finding, View
from synthesis.concepts import VIEWS, ConceptCatalog
from synthesis.pairs import Pair, Rejection
from synthesis.reports.report import Report

_DICTIONARY = 8192  # bytes of records that every record is packed against: reports are much alike
_RAW = -15  # zlib: no header and no checksum, for the whole file has one
_MOST_RECORD = 1 << 24  # bytes; of a file of somebody else, a record may claim anything

# Half the time of json.loads.
_scanned = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_finding = lru_cache(maxsize=4096)(Finding)  # there are some hundred, and they cannot change


def encode(pairs: Sequence[Pair], catalog: ConceptCatalog) -> bytes:
    """Return the content of a shard: with one build of zlib, the same pairs always give the same bytes.

    Images stay as they are, to be read at the cost of a copy. Labels are a bit each. Records are packed one
    by one against a dictionary of the first of them (162 bytes in place of 596), masks pair by pair, down
    their columns.

    Args:
        pairs: At least one; images of one shape.
        catalog: What their labels are read by.
    """
    from safetensors.numpy import save

    records = [_record(pair).encode() for pair in pairs]
    dictionary = b"".join(records)[:_DICTIONARY]
    packed = [_packed(record, dictionary) for record in records]
    masks = [
        b"" if pair.masks is None else _packed(np.packbits(pair.masks.mT.flatten(1).numpy()).tobytes())
        for pair in pairs
    ]
    labels = np.stack([pair.case.labels(catalog) for pair in pairs])
    return save(
        {
            "images": torch.stack([pair.image for pair in pairs]).numpy(),
            "indices": np.array([pair.index for pair in pairs], np.int64),
            "views": np.array([VIEWS.index(pair.case.view) for pair in pairs], np.uint8),
            "labels": np.packbits(labels.astype(bool), axis=1),
            "dictionary": np.frombuffer(dictionary, np.uint8),
            "records": np.frombuffer(b"".join(packed), np.uint8),
            "record_ends": np.cumsum([len(record) for record in packed], dtype=np.int32),
            "masks": np.frombuffer(b"".join(masks), np.uint8),
            "mask_ends": np.cumsum([len(part) for part in masks], dtype=np.int32),
        }
    )


class Shard:
    """Random access to the pairs of one file, through a private memory map.

    A process that forks shares the map; one that is spawned opens the file anew. A file that is replaced
    (never written over, see `synthesis.files.replaced`) stays what it was for whoever has opened it.

    Args:
        arrays: What the file holds, by name: see `mapped`.

    Attributes:
        indices: Of the pairs.
        views: Of the pairs.
    """

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._images, self._labels = torch.from_numpy(arrays["images"]), arrays["labels"]
        self.indices: list[int] = arrays["indices"].tolist()
        self.views = [cast(View, VIEWS[code]) for code in arrays["views"].tolist()]
        self._dictionary = arrays["dictionary"].tobytes()
        self._records, self._record_ends = arrays["records"].data, _ends(arrays["record_ends"])
        self._masks, self._mask_ends = arrays["masks"].data, _ends(arrays["mask_ends"])

    @staticmethod
    def open(path: Path) -> Shard:
        """Open a file that holds what `encode` returned, now or in an earlier version.

        Raises:
            Exception: Whatever safetensors raises for a file that is not whole.
        """
        from synthesis.store.plain_shard import PlainShard

        arrays = mapped(path)
        return PlainShard(arrays) if PlainShard.wrote(arrays) else Shard(arrays)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._images)

    def image(self, position: int) -> Tensor:
        """Return an image as it lies in the file, uint8 ``(1, height, width)``: to be copied, not changed."""
        return self._images[position]

    def labels(self, position: int, catalog: ConceptCatalog) -> Tensor:
        """Return the labels of a pair, as `Case.labels` does; they are shared, and not to be changed.

        Args:
            position: Number of the pair in this shard.
            catalog: What the pairs were made with.
        """
        return _labels(self._labels[position].tobytes(), len(catalog))

    def report(self, position: int) -> Report:
        """Return the report of a pair."""
        return Report(*_scanned(self._lines(position)[0], 0)[0])

    def case(self, position: int) -> Case:
        """Return the case of a pair."""
        return self.pair(position, masks=False).case

    def masks(self, position: int) -> Tensor | None:
        """Return the masks of a pair, None if it has none."""
        return self.pair(position).masks

    def pair(self, position: int, masks: bool = True) -> Pair:
        """Return one pair exactly as it was made.

        Args:
            position: Number of the pair in this shard.
            masks: Whether to read its masks; without, they are None.
        """
        report, rest = map(json.loads, self._lines(position))
        findings, absent, notes, attempt, rejections, unwritten, count = rest
        image = self.image(position).clone()
        return Pair(
            self.indices[position],
            Case(tuple(_finding(*values) for values in findings), tuple(absent), self.views[position]),
            Report(*report),
            image,
            self._unpacked(position, count, image.shape[-2:]) if masks and count is not None else None,
            tuple(notes),
            attempt,
            tuple(Rejection(*entry) for entry in rejections),
            unwritten,
        )

    def _lines(self, position: int) -> list[str]:
        """Return the two lines of a record: see `_record`."""
        packed = self._records[self._record_ends[position] : self._record_ends[position + 1]]
        content = zlib.decompressobj(_RAW, self._dictionary).decompress(packed, _MOST_RECORD)
        return content.decode().split("\n")

    def _unpacked(self, position: int, count: int, size: torch.Size) -> Tensor:
        packed = self._masks[self._mask_ends[position] : self._mask_ends[position + 1]]
        pixels = count * size.numel()
        content = zlib.decompressobj(_RAW).decompress(packed, 1 + pixels // 8)
        bits = np.unpackbits(np.frombuffer(content, np.uint8), count=pixels)
        return torch.from_numpy(bits.view(bool)).view(count, *reversed(size)).mT.contiguous()


def mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a safetensors file, mapped into memory; the file itself cannot be changed so.

    Its own slices cost several times as much a pair: they look up name, type and range each time.

    Raises:
        Exception: Whatever safetensors raises for a file that is not whole.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np"):
        pass  # it checks that the header is sound, and the file as long as it says
    content = np.asarray(np.memmap(path, np.uint8, mode="c"))
    (length,) = struct.unpack("<Q", content[:8].tobytes())
    header = json.loads(content[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    data, types = content[8 + length :], {"U8": np.uint8, "I32": np.int32, "I64": np.int64}
    return {
        name: data[slice(*entry["data_offsets"])].view(types[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }


@lru_cache(maxsize=1 << 14)
def _labels(bits: bytes, count: int) -> Tensor:
    return torch.from_numpy(np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(np.float32))


def _ends(ends: npt.NDArray[Any]) -> list[int]:
    return [0, *ends.tolist()]


def _packed(content: bytes, dictionary: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=_RAW, zdict=dictionary)
    return packer.compress(content) + packer.flush()


def _record(pair: Pair) -> str:
    """Return two lines of JSON: the report, which training reads, and what else has no column."""
    report = (pair.report.findings, pair.report.impression)
    rest = [
        [astuple(finding) for finding in pair.case.findings],
        pair.case.absent,
        pair.notes,
        pair.attempt,
        [(why.kind, why.detail) for why in pair.rejections],
        pair.unwritten,
        None if pair.masks is None else len(pair.masks),
    ]
    return "\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in (report, rest))
