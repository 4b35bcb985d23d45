"""A checkpoint that cannot be written leaves the one before it as it was."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks import AtomicCheckpointIO
from lightning_modules.checkpoints import CheckpointError, read_checkpoint

PLACES = [None, *(path for path in [Path("/dev/shm")] if path.is_dir() and os.access(path, os.W_OK))]


@pytest.fixture(params=PLACES, ids=str)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The file system of temporary files, and another one."""
    if request.param is None:
        yield tmp_path
        return
    import tempfile

    with tempfile.TemporaryDirectory(dir=request.param) as directory:
        yield Path(directory)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 64 KiB."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def checkpoint(step: int, size: int = 100_000) -> dict[str, Any]:
    return {"state_dict": {"weight": torch.full((size,), float(step))}, "global_step": step}


def test_a_full_disk_leaves_the_old_checkpoint(place: Path, request: pytest.FixtureRequest) -> None:
    path = place / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1), path)
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match=r"0\.4 MB was not written.*--resume.*last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(2), path)
    assert read_checkpoint(path)["global_step"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_kill_at_any_write_leaves_the_old_checkpoint(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1), path)
    for call in ("fsync", "replace"):
        child = os.fork()
        if not child:  # dies in the middle of it, as by SIGKILL
            for owner in (os, Path):
                if hasattr(owner, call):
                    setattr(owner, call, lambda *_: os._exit(9))
            AtomicCheckpointIO().save_checkpoint(checkpoint(2), path)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert read_checkpoint(path)["global_step"] == 1
    AtomicCheckpointIO().save_checkpoint(checkpoint(3), path)
    assert read_checkpoint(path)["global_step"] == 3
    assert [file.name for file in place.iterdir()] == ["last.ckpt"]


def test_what_trainers_read_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1), path)
    assert AtomicCheckpointIO().load_checkpoint(path)["global_step"] == 1
    content = bytearray(path.read_bytes())
    content[-100_000] ^= 1
    path.write_bytes(content)
    for weights_only in (None, True, False):
        with pytest.raises(CheckpointError, match=r"last\.ckpt .*damaged"):
            AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(1), path, storage_options={})
