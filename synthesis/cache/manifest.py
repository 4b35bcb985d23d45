"""What a cache says of itself: the recipe that it was made by, and its files with their checksums."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthesis.files import file_sha256
from synthesis.pairs import json_sha256

MANIFEST = "manifest.json"
_ABSENT = "(absent)"
_REMEDY = "Delete that file, if it is there, and run again: only its pairs are made again."
_REMEDY_MANIFEST = "Delete it and run again: shards that are whole are kept."


class CacheError(RuntimeError):
    """A cache cannot be used as it is; the message says why and what to do."""


class StaleCacheError(CacheError):
    """A cache holds the pairs of another configuration."""


class DamagedCacheError(CacheError):
    """A file of a cache is not what was written."""


def read_manifest(directory: Path, recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the manifest of a split, if it is whole and of this recipe; None accepts any recipe.

    Raises:
        CacheError: If there is none.
        DamagedCacheError: If it cannot be read or was edited.
        StaleCacheError: If it is that of another recipe; the message says key by key what differs.
    """
    path = directory / MANIFEST
    if not path.exists():
        state = "holds no finished cache" if directory.is_dir() else "does not exist"
        raise CacheError(
            f"{directory} {state}: there is no {MANIFEST}. Run the fit (or `fill`) that makes it to its end."
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        honest = manifest["fingerprint"] == json_sha256(manifest["recipe"])
        complete = {"split", "pairs", "shards"} <= manifest.keys()
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCacheError(f"{path} cannot be read: {error!r}. {_REMEDY_MANIFEST}") from error
    if not (honest and complete):
        raise DamagedCacheError(f"{path} was changed after it was written. {_REMEDY_MANIFEST}")
    if recipe is not None and manifest["fingerprint"] != json_sha256(recipe):
        raise StaleCacheError(
            f"{directory} was made by another configuration (fingerprint {manifest['fingerprint'][:16]}, now "
            f"{json_sha256(recipe)[:16]}):\n{differences(manifest['recipe'], recipe)}\n"
            f"Go back to that configuration, or delete {directory} and make the pairs again."
        )
    return manifest


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say key by key in what two recipes differ, one line a key; a part that only one has is one line."""
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
        return str(value.get("class_path", f"{{{', '.join(value)}}}"))
    return str(value) if value is _ABSENT else json.dumps(value)


def check_size(path: Path, size: int) -> None:
    """Raise a DamagedCacheError unless the file has that many bytes: cheap, so asked of all at once."""
    if not path.exists() or path.stat().st_size != size:
        state = f"has {path.stat().st_size:,} bytes instead of {size:,}" if path.exists() else "is missing"
        raise DamagedCacheError(f"{path} {state}. {_REMEDY}")


def check_sha256(path: Path, start: str) -> None:
    """Raise a DamagedCacheError unless the SHA-256 of the file begins so."""
    actual = file_sha256(path) if path.exists() else "no file"
    if not actual.startswith(start):
        raise DamagedCacheError(
            f"{path} is damaged: its SHA-256 is {actual}, not {start}… as written. {_REMEDY}"
        )
