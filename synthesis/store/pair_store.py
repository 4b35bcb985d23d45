"""Pairs on disk, read at random."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair
from synthesis.store.errors import REMEDY, DamagedStoreError, StoreError, check_sha256, check_size
from synthesis.store.ledger import Ledger, Refused
from synthesis.store.manifest import Manifest, ShardEntry
from synthesis.store.shard import Shard
from synthesis.store.stored_pair import StoredPair


class PairStore:
    """Map-style reader of one split. It needs to know nothing but the directory.

    Args:
        directory: The directory of the split.
        recipe: What the pairs have to be made by (see `StorePlan.recipe`); None accepts any.

    Attributes:
        directory: The directory of the split.
        manifest: What it says of itself: ``split``, ``concept_names``, ``catalog_sha256``, ``image_size``,
            ``has_masks``, ``recipe``, ``fingerprint``, ``sha256`` …

    Raises:
        StoreError: If the directory holds no finished store.
        StaleStoreError: If it was made by another recipe.
        DamagedStoreError: If a file is missing, has another size, or (when first read) another checksum.
    """

    def __init__(self, directory: str | Path, recipe: Mapping[str, Any] | None = None) -> None:
        self.directory = Path(directory)
        self.manifest = Manifest.read(self.directory, recipe)
        for entry in self.manifest.shards:
            if entry.file is not None:
                check_size(self.directory / entry.file, entry.bytes)
        self._shards: dict[int, Shard] = {}
        self._positions = [_positions(entry) for entry in self.manifest.shards]
        self._ends = list(accumulate(map(len, self._positions)))

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.manifest.pairs

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files behind: they cannot go to another process."""
        return {**self.__dict__, "_shards": {}}

    def pairs(self, places: Sequence[int], masks: bool = True) -> list[Pair]:
        """Read pairs by their place in the store.

        Args:
            places: Numbers in [0, len(self)), in any order. Where no pair is missing, the place is the index.
            masks: Whether to read the masks; without, they are None.

        Raises:
            IndexError: If a place is out of range.
            DamagedStoreError: If a shard is not what was written.
        """
        return [shard.pair(position, masks) for shard, position in map(self._found, places)]

    def stored(self, places: Sequence[int], masks: bool = True) -> list[StoredPair]:
        """Find pairs by their place in the store; what is not asked of them is not read. See `pairs`."""
        return [StoredPair(shard, position, masks) for shard, position in map(self._found, places)]

    def check_catalog(self, catalog: ConceptCatalog) -> None:
        """Raise a StoreError unless the pairs were made with this concept catalogue.

        Labels are read from cases by the rules of the catalogue, so another one would give other labels.
        """
        if catalog.sha256 == self.manifest.catalog_sha256:
            return
        own, asked = self.manifest.concept_names, catalog.names
        if own == asked:
            what = "it names the same concepts, but other definitions or rules"
        else:
            lacks, knows = sorted(set(own) - set(asked)), sorted(set(asked) - set(own))
            what = f"it lacks {lacks} and has {knows}, which the pairs do not know"
            what = what if lacks or knows else "it names the same concepts in another order"
        raise StoreError(
            f"{self.directory} was made with another concept catalogue (SHA-256 "
            f"{self.manifest.catalog_sha256[:16]}) than {catalog.path} ({catalog.sha256[:16]}): {what}. "
            "Configure the catalogue that the pairs were made with, or make them again."
        )

    def refused(self) -> list[Refused]:
        """Return every drawing that was refused, by the maker's filters, then by the corpus filters."""
        return [*(entry for ledger in self._ledgers() for entry in ledger.refused), *self.manifest.refused]

    def notes(self) -> Counter[str]:
        """Count what was noted on all pairs that were made, those that are missing included."""
        return sum((Counter(ledger.notes) for ledger in self._ledgers()), Counter[str]())

    def _ledgers(self) -> list[Ledger]:
        return [Ledger.read(Ledger.path(self.directory, e.start, e.stop)) for e in self.manifest.shards]

    def _found(self, place: int) -> tuple[Shard, int]:
        """Return the shard of a place, and the position in it."""
        if not 0 <= place < len(self):
            raise IndexError(f"{self.directory} holds pairs 0 to {len(self) - 1}; {place} was asked for.")
        number = bisect_right(self._ends, place)
        position = self._positions[number][place - self._ends[number]]  # from the end: a negative place
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = self._open(self.manifest.shards[number])
        return shard, position

    def _open(self, entry: ShardEntry) -> Shard:
        """Open a shard, or the longer one that begins like it if the store has grown since it was opened."""
        assert entry.file is not None
        if not (self.directory / entry.file).exists():
            now = Manifest.read(self.directory, self.manifest.recipe)
            longer = [e for e in now.shards if e.start == entry.start and e.stop > entry.stop and e.file]
            entry = longer[0] if longer else entry
        assert entry.file is not None
        path = self.directory / entry.file
        check_sha256(path, entry.sha256)
        shard = Shard.open(path)
        if len(shard) != entry.pairs:
            raise DamagedStoreError(f"{path} holds {len(shard)} pairs, not {entry.pairs}. {REMEDY}")
        return shard


def _positions(entry: ShardEntry) -> Sequence[int]:
    """Return the positions of a file's pairs that belong to the store."""
    if not entry.left_out:
        return range(entry.pairs)
    left_out = set(entry.left_out)
    return [position for position in range(entry.pairs) if position not in left_out]
