"""The checksums of the files of an export, by which a reader sees that one has changed, or is gone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from synthesis.files import file_sha256, write_atomically, write_json
from synthesis.store.errors import DamagedStoreError

CHECKSUMS = "checksums.json"
"""File of an export: the SHA-256 of each of its other files."""

_REMEDY = "Export the corpus again (what is whole is kept), or fetch the file again."


def write_listed(path: Path, content: bytes) -> None:
    """Write a file of an export: first its checksum, so that where it lies, that does too."""
    listed = checksums(path.parent) | {path.name: hashlib.sha256(content).hexdigest()}
    write_json(path.parent / CHECKSUMS, dict(sorted(listed.items())))
    write_atomically(path, content)


def checksums(directory: Path) -> dict[str, str]:
    """Return the checksums of the files of an export by their names; none where it has no list.

    Raises:
        DamagedStoreError: If the list cannot be read.
    """
    path = directory / CHECKSUMS
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_bytes())
        return {str(name): str(sha256) for name, sha256 in listed.items()}
    except (ValueError, AttributeError) as error:
        raise DamagedStoreError(f"{path} cannot be read ({error}). {_REMEDY}") from error


def is_whole(path: Path) -> bool:
    """Return whether a file is there as it was listed."""
    return path.is_file() and checksums(path.parent).get(path.name) == file_sha256(path)


def check_listed(path: Path) -> None:
    """Raise a DamagedStoreError if a file is listed with another checksum than it has."""
    expected = checksums(path.parent).get(path.name)
    actual = file_sha256(path) if expected is not None else None
    if actual != expected:
        raise DamagedStoreError(
            f"{path} is damaged: its SHA-256 is {actual}, not {expected} as written. {_REMEDY}"
        )


def check_complete(directory: Path) -> None:
    """Raise a DamagedStoreError if a file is listed that is not there."""
    for name in checksums(directory):
        if not (directory / name).is_file():
            raise DamagedStoreError(f"{directory / name} is listed in {CHECKSUMS}, but missing. {_REMEDY}")
