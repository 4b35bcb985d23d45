"""One file of pairs: images, packed masks and records in safetensors, read pair by pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Case, Finding
from synthesis.pairs import Pair, Rejection
from synthesis.reports.report import Report

_NO_MASKS = -1


def encode(pairs: Sequence[Pair]) -> bytes:
    """Return the content of a shard: the same pairs always give the same bytes.

    Args:
        pairs: At least one; images of one shape.
    """
    from safetensors.numpy import save

    records = [_record(pair).encode() for pair in pairs]
    rows = [np.packbits(pair.masks.flatten(1).numpy(), axis=1) for pair in pairs if pair.masks is not None]
    counts = [_NO_MASKS if pair.masks is None else len(pair.masks) for pair in pairs]
    row_bytes = -(-pairs[0].image[0].numel() // 8)
    return save(
        {
            "images": torch.stack([pair.image for pair in pairs]).numpy(),
            "records": np.frombuffer(b"".join(records), np.uint8),
            "record_ends": np.cumsum([len(record) for record in records]),
            "masks": np.concatenate([np.empty((0, row_bytes), np.uint8), *rows]),
            "mask_counts": np.array(counts),
        }
    )


class Shard:
    """Random access to the pairs of one file, through a memory map.

    Args:
        path: A file that holds what `encode` returned.

    Raises:
        Exception: Whatever safetensors raises for a file that is not whole.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._file = safe_open(path, framework="np")
        self._images = self._file.get_slice("images")
        self._records = self._file.get_slice("records")
        self._masks = self._file.get_slice("masks")
        self._record_ends = [0, *self._file.get_tensor("record_ends").tolist()]
        self._mask_counts = self._file.get_tensor("mask_counts").tolist()
        self._mask_ends = np.cumsum([0, *(max(0, count) for count in self._mask_counts)]).tolist()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._mask_counts)

    def pair(self, position: int, masks: bool = True) -> Pair:
        """Return one pair exactly as it was made.

        Args:
            position: Number of the pair in this shard.
            masks: Whether to read its masks; without, they are None.
        """
        record = json.loads(
            self._records[self._record_ends[position] : self._record_ends[position + 1]].tobytes()
        )
        image = torch.from_numpy(self._images[position : position + 1])[0]
        read = masks and self._mask_counts[position] != _NO_MASKS
        return Pair(
            index=record["index"],
            case=_case(record["case"]),
            report=Report(**record["report"]),
            image=image,
            masks=self._unpacked(position, image.shape[-2:]) if read else None,
            notes=tuple(record["notes"]),
            attempt=record["attempt"],
            rejections=tuple(Rejection(*entry) for entry in record["rejections"]),
            unwritten=record["unwritten"],
        )

    def _unpacked(self, position: int, size: torch.Size) -> Tensor:
        first, last = self._mask_ends[position], self._mask_ends[position + 1]
        if first == last:  # safetensors cannot slice nothing out of nothing
            return torch.zeros((0, *size), dtype=torch.bool)
        bits = np.unpackbits(self._masks[first:last], axis=1, count=size.numel())
        return torch.from_numpy(bits.astype(bool)).view(-1, *size)


def _record(pair: Pair) -> str:
    content = {
        "index": pair.index,
        "case": asdict(pair.case),
        "report": {"findings": pair.report.findings, "impression": pair.report.impression},
        "notes": pair.notes,
        "attempt": pair.attempt,
        "rejections": [(why.kind, why.detail) for why in pair.rejections],
        "unwritten": pair.unwritten,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _case(content: dict[str, Any]) -> Case:
    findings = tuple(Finding(**finding) for finding in content["findings"])
    return Case(findings=findings, absent=tuple(content["absent"]), view=content["view"])
