"""Pairs on disk, read at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
        number, position = divmod(index, self.manifest["recipe"]["shard_pairs"])
        if number not in self._shards:
            entry = self._files[number]
            check_sha256(self.directory / entry["file"], entry["sha256"])
            self._shards[number] = Shard(self.directory / entry["file"])
        return self._shards[number].pair(position, masks)
