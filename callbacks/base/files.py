"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place to write to that becomes the file at the end, so that nobody ever sees half of it.

    The content reaches the disk before the name does: after a crash of the machine, or on a full disk, the
    file is the old one or the new one. (`synthesis.files` does this for pairs; what is measured may not
    import what makes them.)

    Args:
        path: The file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # in the same folder: a rename between disks is a copy
    try:
        yield partial
        _to_disk(partial)
        partial.replace(path)
    except Exception:
        partial.unlink(missing_ok=True)
        raise
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
