"""Why stored pairs cannot be used, and the checks of files that say so."""

from __future__ import annotations

from pathlib import Path

from synthesis.checksums import known_sha256

REMEDY = "Delete that file, if it is there, and run again: only its pairs are made again."


class StoreError(RuntimeError):
    """Stored pairs cannot be used as they are; the message says why and what to do."""


class StaleStoreError(StoreError):
    """A directory holds the pairs of another configuration."""


class DamagedStoreError(StoreError):
    """A file is not what was written."""


def check_name(name: str | None, where: Path) -> None:
    """Raise a DamagedStoreError unless a file that is named lies in the store itself.

    A manifest or a ledger of somebody else could otherwise have any file read, or deleted.
    """
    if name is not None and (name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name):
        raise DamagedStoreError(f"{where} names {name!r}, which is no file of its directory. {REMEDY}")


def check_size(path: Path, size: int) -> None:
    """Raise a DamagedStoreError unless the file has that many bytes: cheap, so asked of all at once."""
    if not path.exists() or path.stat().st_size != size:
        state = f"has {path.stat().st_size:,} bytes instead of {size:,}" if path.exists() else "is missing"
        raise DamagedStoreError(f"{path} {state}. {REMEDY}")


def check_sha256(path: Path, expected: str) -> None:
    """Raise a DamagedStoreError unless the file has that SHA-256 (see `known_sha256`)."""
    actual = known_sha256(path)
    if actual != expected:
        raise DamagedStoreError(
            f"{path} is damaged: its SHA-256 is {actual}, not {expected} as written. {REMEDY}"
        )
