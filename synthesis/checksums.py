"""The checksums of the files of a directory, by which a reader sees that one has changed, or is gone."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from synthesis.files import file_sha256, write_atomically, write_json

CHECKSUMS = "checksums.json"
"""File of a directory that this project wrote: the SHA-256 of each of its other files."""

_REMEDY = f"copy or export it again; delete {CHECKSUMS} if you changed it yourself"


class ChecksumError(ValueError):
    """A file is not what was written; the message names it, what is wrong with it, and the remedy."""


def write_checksums(directory: Path) -> None:
    """List all files of a directory, those of its folders too."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    names = sorted(path.relative_to(directory).as_posix() for path in files)
    write_json(directory / CHECKSUMS, {name: file_sha256(directory / name) for name in names})


def write_listed(path: Path, content: bytes) -> None:
    """Write a file and list it: first its checksum, so that where it lies, that does too."""
    listed = checksums(path.parent) | {path.name: hashlib.sha256(content).hexdigest()}
    write_json(path.parent / CHECKSUMS, dict(sorted(listed.items())))
    write_atomically(path, content)


def checksums(directory: Path) -> dict[str, str]:
    """Return the checksums of the files of a directory by their names; none where it has no list.

    Raises:
        ChecksumError: If the list cannot be read.
    """
    path = directory / CHECKSUMS
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_bytes())
        return {str(name): str(sha256) for name, sha256 in listed.items()}
    except (ValueError, AttributeError) as error:
        raise ChecksumError(f"{path} cannot be read ({error}); {_REMEDY}") from error


def is_whole(path: Path) -> bool:
    """Return whether a file is there as it was listed."""
    return path.is_file() and checksums(path.parent).get(path.name) == known_sha256(path)


def check_listed(path: Path) -> None:
    """Refuse a file that the list of its directory has with another checksum.

    Raises:
        ChecksumError: If that is so, or the list cannot be read.
    """
    if (written := checksums(path.parent).get(path.name)) is not None:
        _compare(path, written)


def check_complete(directory: Path) -> None:
    """Refuse a directory that lacks a file of its list.

    Raises:
        ChecksumError: If it does, or the list cannot be read.
    """
    for name in checksums(directory):
        if not (directory / name).is_file():
            raise ChecksumError(f"{directory / name} is listed in {CHECKSUMS}, but missing; {_REMEDY}")


def check_all(directory: Path) -> None:
    """Refuse a directory of which any file that it lists is missing, or is not what was written.

    Raises:
        ChecksumError: If that is so, or the list cannot be read.
    """
    check_complete(directory)
    for name, written in checksums(directory).items():
        _compare(directory / name, written)


def _compare(path: Path, written: str) -> None:
    if (actual := known_sha256(path)) != written:
        raise ChecksumError(
            f"{path} is damaged: its SHA-256 is {actual}, not {written} as written; {_REMEDY}"
        )


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, "no file" where there is none.

    A file is read for it once: again only after it has changed, and not by processes that fork off later.
    """
    if not path.exists():
        return "no file"
    there = path.stat()
    return _sha256(path, there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)


@lru_cache(maxsize=1 << 16)
def _sha256(path: Path, *state: int) -> str:
    """Return the SHA-256 of a file in a state: device, inode, size, times of the last changes."""
    return file_sha256(path)
