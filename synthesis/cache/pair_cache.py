"""Pairs on disk, read at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthesis.cache.manifest import check_sha256, check_size, read_manifest
from synthesis.cache.shard import Shard
from synthesis.pairs import Pair


class PairCache:
    """Map-style reader of one split.

    Args:
        directory: The directory of the split.
        recipe: What the pairs have to be made by (see `recipe`); None accepts any.

    Raises:
        CacheError: If the directory holds no finished cache.
        StaleCacheError: If it was made by another recipe.
        DamagedCacheError: If a file is missing, has another size, or (when first read) another checksum.
    """

    def __init__(self, directory: str | Path, recipe: Mapping[str, Any] | None = None) -> None:
        self.directory = Path(directory)
        self.manifest = read_manifest(self.directory, recipe)
        self._files = self.manifest["shards"]
        for entry in self._files:
            check_size(self.directory / entry["file"], entry["bytes"])
        self._shards: dict[int, Shard] = {}
        self._rows = [self._kept(entry) for entry in self._files]
        self._ends = np.cumsum([len(rows) for rows in self._rows])

    def __len__(self) -> int:
        """Return the number of pairs."""
        return int(self.manifest["pairs"])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files behind: they cannot go to another process."""
        return {**self.__dict__, "_shards": {}}

    def pairs(self, indices: Sequence[int], masks: bool = True) -> list[Pair]:
        """Read pairs by their index.

        Args:
            indices: Numbers in [0, len(self)), in any order.
            masks: Whether to read the masks; without, they are None.

        Raises:
            IndexError: If an index is out of range.
            DamagedCacheError: If a shard is not what was written.
        """
        return [self._pair(index, masks) for index in indices]

    def _pair(self, index: int, masks: bool) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.directory} holds pairs 0 to {len(self) - 1}; {index} was asked for.")
        number = int(np.searchsorted(self._ends, index, "right"))
        position = int(self._rows[number][index - self._ends[number]])  # from the end: a negative place
        if number not in self._shards:
            entry = self._files[number]
            check_sha256(self.directory / entry["file"], entry["sha256"])
            self._shards[number] = Shard(self.directory / entry["file"])
        return self._shards[number].pair(position, masks)

    def _kept(self, entry: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """Return the positions of a file's pairs that belong to the split: of a corpus, some are left out."""
        start, stop = (int(part) for part in str(entry["file"]).split("-")[:2])
        return np.delete(np.arange(entry.get("pairs", stop - start)), entry.get("left_out", []))
