"""Two processes, one of which is asked to stop: both stop after the same step, with one checkpoint."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset

from callbacks import AtomicCheckpointIO, Interruption, NonFiniteGuard, RunCheckpoint
from lightning_modules.checkpoints import read_checkpoint
from tests.ddp import launch


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return (self.weight - batch[0].mean()).square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Sends(L.Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def stop(directory: Path) -> None:
    trainer = L.Trainer(
        accelerator="cpu", strategy="ddp", devices=2, max_epochs=2, logger=False, default_root_dir=directory,
        enable_progress_bar=False, enable_model_summary=False, plugins=[AtomicCheckpointIO()],
        callbacks=[Sends(), NonFiniteGuard(), Interruption(), RunCheckpoint(minutes=0)],
    )  # fmt: skip
    code: int | str | None = None
    try:
        trainer.fit(Line(), DataLoader(TensorDataset(torch.arange(64.0)), batch_size=1))
    except SystemExit as ended:
        code = ended.code
    (directory / f"{trainer.global_rank}.txt").write_text(f"{code} {trainer.global_step}")


def test_all_ranks_stop_after_the_same_step(tmp_path: Path) -> None:
    launch(__file__, "stop", tmp_path)
    ended = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert ended == {"143 9"}  # the ranks ask each other every eighth batch
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 9
