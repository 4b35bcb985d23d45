"""What a store says of itself: the recipe that it was made by, and its files with their checksums."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthesis.files import write_json
from synthesis.identity import json_sha256
from synthesis.store.errors import DamagedStoreError, StaleStoreError, StoreError, check_name
from synthesis.store.ledger import Refused

MANIFEST = "manifest.json"
_ABSENT = "(absent)"
_REMEDY = "Delete it and run again: shards that are whole are kept."


@dataclass(frozen=True)
class ShardEntry:
    """One range of indices.

    Attributes:
        start: First index.
        stop: End of the indices.
        file: Name of the file with the pairs; None if every pair was refused.
        bytes: Its size.
        sha256: Its checksum.
        pairs: Pairs in the file.
        left_out: Positions in the file of pairs that do not belong to the store, for a corpus filter refused
            them.
    """

    start: int
    stop: int
    file: str | None
    bytes: int
    sha256: str
    pairs: int
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The description of a finished store.

    Attributes:
        fingerprint: SHA-256 of the recipe.
        recipe: Everything that the pairs depend on but their split and number, see `StorePlan.recipe`.
        split: Name of the split.
        made: Indices that were made: 0 … ``made`` - 1.
        pairs: Pairs that the store holds: those made, less those refused.
        image_size: Height and width of the images, in pixels.
        has_masks: Whether every pair has the masks of its findings.
        catalog_sha256: Of the concept catalogue.
        concept_names: Its concepts, in label order.
        shards: The ranges, in order.
        refused: The pairs that the corpus filters left out.
    """

    fingerprint: str
    recipe: dict[str, Any]
    split: str
    made: int
    pairs: int
    image_size: int
    has_masks: bool
    catalog_sha256: str
    concept_names: tuple[str, ...]
    shards: tuple[ShardEntry, ...]
    refused: tuple[Refused, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole description: equal ones, equal pairs in the same files."""
        return json_sha256(asdict(self))

    def fault(self) -> str:
        """Return what is wrong with ranges and numbers, whoever wrote them; empty if nothing."""
        stop = held = 0
        for entry in self.shards:
            if entry.start != stop or entry.stop <= entry.start:
                return f"a shard begins at {entry.start}, where {stop} is due"
            stop = entry.stop
            name = f"{entry.start:09}-{entry.stop:09}-{entry.sha256[:16]}.safetensors"
            if entry.file not in (None, name):
                return f"the shard of {entry.start} to {entry.stop} is called {entry.file!r}, not {name!r}"
            places = set(entry.left_out)
            if entry.pairs > stop - entry.start or not places <= set(range(entry.pairs)):
                return f"the shard of {entry.start} to {entry.stop} holds {entry.pairs} pairs"
            held += entry.pairs - len(places)
        if (stop, held) != (self.made, self.pairs):
            return f"its shards hold {held} pairs of {stop} indices, not {self.pairs} of {self.made}"
        return ""

    def write(self, directory: Path) -> None:
        """Write ``manifest.json``, with its own checksum."""
        write_json(directory / MANIFEST, {**asdict(self), "sha256": self.sha256})

    @classmethod
    def read(cls, directory: Path, recipe: Mapping[str, Any] | None) -> Manifest:
        """Read the manifest of a split, if it is whole and of this recipe; None accepts any recipe.

        Raises:
            StoreError: If there is none.
            DamagedStoreError: If it cannot be read or was edited.
            StaleStoreError: If it is that of another recipe; the message says key by key what differs.
        """
        path = directory / MANIFEST
        if not path.exists():
            state = "holds no finished store" if directory.is_dir() else "does not exist"
            raise StoreError(
                f"{directory} {state}: there is no {MANIFEST}. Run what makes it (`make corpus`, or the fit "
                "with that cache_dir) to its end."
            )
        try:
            content = json.loads(path.read_bytes())
            written = content.pop("sha256")
            shards = tuple(
                ShardEntry(**{**entry, "left_out": tuple(entry["left_out"])}) for entry in content["shards"]
            )
            refused = tuple(Refused(**entry) for entry in content["refused"])
            names = tuple(content["concept_names"])
            manifest = cls(**{**content, "shards": shards, "refused": refused, "concept_names": names})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedStoreError(
                f"{path} cannot be read ({type(error).__name__}: {error}): it is damaged, or of an earlier "
                f"version. {_REMEDY}"
            ) from error
        for entry in manifest.shards:
            check_name(entry.file, path)
        if manifest.sha256 != written or manifest.fingerprint != json_sha256(manifest.recipe):
            raise DamagedStoreError(f"{path} was changed after it was written. {_REMEDY}")
        if fault := manifest.fault():
            raise DamagedStoreError(f"{path} contradicts itself: {fault}. {_REMEDY}")
        if recipe is not None and manifest.fingerprint != json_sha256(recipe):
            raise StaleStoreError(
                f"{directory} was made by another configuration (fingerprint {manifest.fingerprint[:16]}, "
                f"now {json_sha256(recipe)[:16]}):\n{differences(manifest.recipe, recipe)}\n"
                f"Go back to that configuration, or delete {directory} and make the pairs again."
            )
        return manifest


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say key by key in what two recipes differ, one line a key; what only one of them has is one line."""
    return "\n".join(f"  {key}: {before} → {after}" for key, before, after in _differing(old, new))


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    for key in {**old, **new}:
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differing(before, after, f"{prefix}{key}.")
        elif json.dumps(before) != json.dumps(after):  # a tuple is a list once it has been written
            yield f"{prefix}{key}", _brief(before), _brief(after)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", f"{{{', '.join(value)}}}"))
    return str(value) if value is _ABSENT else json.dumps(value)
