"""Where a run leaves its files, and the checkpoint it starts from."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

import lightning as L


def run_directory(trainer: L.Trainer) -> Path | None:
    """Return the directory with this run's ``config.yaml`` and ``metrics.csv``. Call it on every rank.

    It is the first logger's (list ``CSVLogger`` first, or runs share a directory), without a logger the
    trainer's ``default_root_dir``. None under ``fast_dev_run``, which is to leave nothing behind.
    """
    log_dir = trainer.log_dir  # a broadcast
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return None
    return Path(log_dir or trainer.default_root_dir)


def free_directory(wanted: Path) -> Path:
    """Return `wanted`, or the first of `wanted-2`, `wanted-3`, … in which no run lies yet.

    Args:
        wanted: A directory that need not exist.
    """
    numbered = (wanted.with_name(f"{wanted.name}-{n}") for n in count(2))
    return next(path for path in chain([wanted], numbered) if not (path / "config.yaml").exists())


def leave_free(directory: Path) -> None:
    """Remove what a run that failed at its start has left, if nothing of it is a result.

    Args:
        directory: Of the run. Only ``config.yaml``, ``hparams.yaml``, empty files and empty folders are
            removed, and only if there is nothing else but W&B's own folder.
    """
    files = [path for path in directory.rglob("*") if path.is_file() and "wandb" not in path.parts]
    if any(path.name not in ("config.yaml", "hparams.yaml") and path.stat().st_size for path in files):
        return
    for path in files:
        path.unlink()
    for folder in sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
