"""Simulated pairs under a real trainer: what a resumed run sees, prediction, overfitting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from datamodules import SyntheticPairs
from datamodules.batch import Batch


class Watcher(LightningModule):
    """Remembers what it is given, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, list[int], list[str]]] = []
        self.predicted: list[int] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.append((self.trainer.current_epoch, batch["index"].tolist(), batch["report"]))
        return self.weight.sum() + batch["image"].mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/loss", batch["image"].mean(), batch_size=len(batch["index"]))

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        self.predicted += batch["index"].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StopAfter(Callback):
    """Dies like a killed job, after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step >= self.steps:
            raise KeyboardInterrupt


def train(
    data: SyntheticPairs, root: Path, callbacks: list[Callback], ckpt_path: Path | None = None
) -> Watcher:
    model = Watcher()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=4,
        use_distributed_sampler=False,
        default_root_dir=root,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=callbacks,
    )
    try:
        trainer.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=False)
    except SystemExit:  # what Lightning makes of the interrupt
        pass
    return model


CHECKPOINTS: dict[str, dict[str, Any]] = {
    "end of epoch": {"save_on_train_epoch_end": True},
    "after validation": {"monitor": "val/loss", "save_top_k": -1},
    "mid-epoch": {"every_n_train_steps": 2},
}


@pytest.fixture(scope="module")
def straight(ready: Any, tmp_path_factory: pytest.TempPathFactory) -> Watcher:
    """A run without a break and without workers: what the others have to see as well."""
    return train(ready(num_workers=0), tmp_path_factory.mktemp("straight"), [])


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_what_the_straight_run_sees(
    ready: Any, straight: Watcher, tmp_path: Path, kind: str, workers: int
) -> None:
    """Three steps an epoch; the run dies after the fourth or later, and goes on from its last checkpoint."""
    assert [e for e, _, _ in straight.seen] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len({str(indices) for _, indices, _ in straight.seen}) == 12
    saver = ModelCheckpoint(dirpath=tmp_path, filename="{step}", **CHECKPOINTS[kind])
    broken = train(ready(num_workers=workers), tmp_path, [saver, StopAfter(5)])
    assert broken.seen == straight.seen[:5]
    saved = max(tmp_path.glob("step=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    done = {"end of epoch": 3, "after validation": 3, "mid-epoch": 4}[kind]
    assert saved.stem == f"step={done}"
    resumed = train(ready(num_workers=workers), tmp_path / "resumed", [], ckpt_path=saved)
    assert resumed.seen == straight.seen[done:]


def test_prediction_goes_through_the_test_split(ready: Any, tmp_path: Path) -> None:
    model = Watcher()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    trainer.predict(model, datamodule=ready(eval_batch_size=2), return_predictions=False)
    assert model.predicted == [0, 1, 2, 3, 4]


def test_overfitting_a_batch_works(ready: Any, tmp_path: Path) -> None:
    model = Watcher()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, overfit_batches=1, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, datamodule=ready())
    assert [indices for _, indices, _ in model.seen] == [[0, 1, 2, 3]] * 2
