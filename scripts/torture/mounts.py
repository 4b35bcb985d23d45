"""File systems of a chosen size, seen by one process alone, for attempts with a full disk."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE, _MS_REMOUNT = 0x20000, 0x4000, 1 << 18, 32  # of <sched.h>, <sys/mount.h>


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def private_mounts() -> None:
    """Let what is mounted from here on be seen by this process and its children, and vanish with them.

    Raises:
        OSError: If this user may not mount.
    """
    _call("unshare", _CLONE_NEWNS)
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)


def mount(directory: Path, size: int, again: bool = False) -> None:
    """Mount a file system in memory.

    Args:
        directory: Where; it exists.
        size: Bytes that it holds.
        again: Whether it is mounted already, and only its size changes.
    """
    options = f"size={max(1, size // 1024)}k".encode()
    _call("mount", b"tmpfs", str(directory).encode(), b"tmpfs", _MS_REMOUNT if again else 0, options)


def may_mount() -> bool:
    """Return whether this user may mount; the answer is found in a process of its own."""
    child = os.fork()
    if not child:
        try:
            private_mounts()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
