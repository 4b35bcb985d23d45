"""Where a run leaves its files, and how its pictures reach the loggers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_directory(trainer: L.Trainer) -> Path | None:
    """The directory with this run's ``config.yaml`` and ``metrics.csv``. Collective: call it on every rank.

    It is the first logger's (list ``CSVLogger`` first, or runs share a directory), without a logger the
    trainer's ``default_root_dir``. None under ``fast_dev_run``, which is to leave nothing behind.
    """
    log_dir = trainer.log_dir  # a broadcast
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return None
    return Path(log_dir or trainer.default_root_dir)


def save_picture(trainer: L.Trainer, figure: Figure, path: Path, key: str) -> None:
    """Writes a figure as PNG and hands it to every logger that takes images. For rank zero.

    Args:
        trainer: Its loggers are served: W&B and TensorBoard.
        figure: What was drawn.
        path: The file, made with its folders.
        key: Name with the loggers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=key, images=[str(path)])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(key, figure, global_step=trainer.global_step)
