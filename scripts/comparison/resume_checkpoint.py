"""A checkpoint to go on from when a run is killed: one file, renewed every few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class ResumeCheckpoint(Checkpoint):
    """Writes ``<directory>/resume.ckpt`` every few minutes or steps, whole or not at all.

    Lightning's `ModelCheckpoint` asks no clock where a model steps its optimisers itself, as a GAN does.
    After the last batch of an epoch nothing is written: there, what validates and chooses writes its own
    checkpoint.

    Args:
        directory: Where the file goes.
        minutes: Time between two checkpoints.
        every_n_batches: Write after so many batches as well; None leaves it to the clock.

    Raises:
        ValueError: If ``minutes`` is negative.
    """

    def __init__(self, directory: str, minutes: float = 2.0, every_n_batches: int | None = None) -> None:
        if minutes < 0:
            raise ValueError(f"ResumeCheckpoint: minutes={minutes}: must be at least 0")
        self.path = Path(directory) / "resume.ckpt"
        self.minutes, self.every_n_batches = minutes, every_n_batches
        self._latest = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._latest = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write if it is time, on all ranks at once."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        counted = self.every_n_batches is not None and (batch_idx + 1) % self.every_n_batches == 0
        due = counted or time.monotonic() - self._latest >= 60 * self.minutes
        if not trainer.strategy.broadcast(due):
            return
        partial = self.path.with_name(f".{self.path.name}.partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            partial.replace(self.path)
        self._latest = time.monotonic()
