"""The last checkpoint is that of the last validation, whichever was the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from callbacks import RunCheckpoint


class Worsening(L.LightningModule):
    """Its figure is best in the second of four epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/figure", torch.tensor([0.3, 0.9, 0.5, 0.4][self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("every", [1, 2])
def test_best_and_last(every: int, tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(torch.zeros(6, 1)), batch_size=2)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=4, default_root_dir=tmp_path, logger=False, enable_progress_bar=False,
        callbacks=[RunCheckpoint("val/figure", "max")], check_val_every_n_epoch=every,
    )  # fmt: skip
    trainer.fit(Worsening(), loader, loader)
    steps = {
        path.stem: torch.load(path, weights_only=True)["global_step"]
        for path in (tmp_path / "checkpoints").glob("*.ckpt")
    }
    assert steps == {"best": 6, "last": 12}
