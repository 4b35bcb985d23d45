"""Files of pairs as they were written before records and masks were packed."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthesis.concepts import ConceptCatalog
from synthesis.reports.report import Report
from synthesis.store.shard import Shard

_NO_MASKS = -1


class PlainShard(Shard):
    """Reads a file with records as JSON objects and a row of bits for each mask: see `Shard`."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._images, self._rows = torch.from_numpy(arrays["images"]), arrays["masks"]
        self._counts = arrays["mask_counts"].tolist()
        self._mask_ends = list(accumulate((max(0, count) for count in self._counts), initial=0))
        ends, records = [0, *arrays["record_ends"].tolist()], arrays["records"].tobytes()
        self._texts = [records[first:last] for first, last in pairwise(ends)]
        found = [json.loads(text) for text in self._texts]
        self.indices = [record["index"] for record in found]
        self.views = [record["case"]["view"] for record in found]

    @staticmethod
    def wrote(arrays: dict[str, npt.NDArray[Any]]) -> bool:
        """Return whether a file is one of these."""
        return "mask_counts" in arrays

    def labels(self, position: int, catalog: ConceptCatalog) -> Tensor:
        """See `Shard.labels`."""
        return torch.from_numpy(self.case(position).labels(catalog))

    def report(self, position: int) -> Report:
        """See `Shard.report`."""
        return self.pair(position, masks=False).report

    def _lines(self, position: int) -> list[str]:
        record, count = json.loads(self._texts[position]), self._counts[position]
        case, report = record["case"], record["report"]
        rest = [
            [list(finding.values()) for finding in case["findings"]],
            case["absent"],
            *(record[name] for name in ("notes", "attempt", "rejections", "unwritten")),
            None if count == _NO_MASKS else count,
        ]
        return [json.dumps([report["findings"], report["impression"]]), json.dumps(rest)]

    def _unpacked(self, position: int, count: int, size: torch.Size) -> Tensor:
        rows = self._rows[self._mask_ends[position] : self._mask_ends[position + 1]]
        bits = np.unpackbits(rows, axis=1, count=size.numel())
        return torch.from_numpy(bits.view(bool)).view(count, *size)
