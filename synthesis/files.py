"""Files and directories that are there whole or not at all, whatever is killed when."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"
"""How the name ends of what is still being written, or was left by a process that was killed."""

_FULL = os.strerror(errno.ENOSPC)

log = logging.getLogger(__name__)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path to write to, and put what was written in the place of ``path`` when all is done.

    A reader, or a crash, sees the old content or the new one, never half of it. For libraries that write
    files themselves (tell them the format: the path ends in `TEMPORARY`). Missing folders are made.

    Args:
        path: The file, or a directory that does not exist yet.

    Raises:
        OSError: If it cannot be written, with its name also where the system gives none (a full disk).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}{TEMPORARY}")
    _delete(temporary)
    try:
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else (temporary,):
            if file.is_file():
                _to_disk(file)
        os.replace(temporary, path)
    except Exception as error:
        _delete(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # of a full disk, say
        if not isinstance(error, OSError) and _FULL in str(error):  # of a library that writes files itself
            raise OSError(errno.ENOSPC, _FULL, str(path)) from error
        raise
    _to_disk(path.parent)  # the new name itself has to reach the disk too


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never half of it.

    A process that is killed leaves a file that ends in `TEMPORARY`.
    """
    with replaced(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON like `write_atomically`, an entry a line.

    Raises:
        ValueError: If it holds NaN or infinity, which JSON does not have.
    """
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(directory: Path, name: str = ".lock", wait: bool = True) -> Iterator[None]:
    """Hold a directory against other processes; the lock ends with the process, however it ends.

    A POSIX record lock, because the children of a killed process must not go on holding it.

    Args:
        directory: The directory; it has to exist.
        name: File of the lock: locks of other names do not wait for each other.
        wait: Whether to wait for another process that holds it.

    Raises:
        BlockingIOError: If another process holds it and this one does not wait.
        OSError: If the directory cannot be written to; the message says what for.
    """
    import fcntl

    try:
        opened = (directory / name).open("w")
    except OSError as error:
        what = (
            f"{error.strerror}: nothing can be made in {directory}; give a directory that can be written to"
        )
        raise OSError(error.errno, what, str(directory / name)) from error
    with opened as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            log.warning("another process is writing to %s: waiting for it", directory)
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
