"""Training ends when a figure that can be measured gets no better, and goes on where none can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from callbacks import RunStopping


class Figures(L.LightningModule):
    """Its figure rises twice and then falls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/figure", torch.tensor([0.3, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1][self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def epochs(directory: Path, callback: RunStopping, ckpt_path: Any = None, **options: Any) -> int:
    """Return how many epochs a fit of at most six takes."""
    loader = DataLoader(TensorDataset(torch.zeros(2, 1)), batch_size=2)
    trainer = L.Trainer(
        accelerator="cpu", default_root_dir=directory, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], **{"max_epochs": 6, **options},
    )  # fmt: skip
    trainer.fit(Figures(), loader, loader, ckpt_path=ckpt_path)
    trainer.save_checkpoint(directory / "end.ckpt")
    return trainer.current_epoch


@pytest.mark.parametrize(
    ("monitor", "mode", "expected"),
    [("val/figure", "max", 4), ("val/figure", "min", 3), ({"val/figure": "max"}, "min", 4)],
)
def test_it_ends_two_validations_after_the_best(
    monitor: Any, mode: str, expected: int, tmp_path: Path
) -> None:
    assert epochs(tmp_path, RunStopping(monitor, mode, patience=2)) == expected


def test_a_figure_that_does_not_come_is_left_for_the_next(tmp_path: Path) -> None:
    figures = {"val/other": "min", "val/figure": "max"}
    with pytest.warns(UserWarning, match=r"val/other was not measured: .* val/figure is no better"):
        assert epochs(tmp_path, RunStopping(figures, patience=2)) == 4
    with pytest.warns(UserWarning, match="val/other was not measured: .* its limits say so"):
        assert epochs(tmp_path, RunStopping({"val/other": "min"}, patience=1)) == 6
    assert epochs(tmp_path, RunStopping(figures, patience=1), limit_val_batches=0) == 6, "nothing to measure"


def test_it_counts_on_by_the_same_figure(tmp_path: Path) -> None:
    figures = {"val/other": "min", "val/figure": "max"}
    with pytest.warns(UserWarning, match="was not measured"):
        assert epochs(tmp_path, RunStopping(figures, patience=3), max_epochs=3) == 3
    assert epochs(tmp_path, RunStopping(figures, patience=3), tmp_path / "end.ckpt") == 5


def test_a_single_figure_that_cannot_come_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val/figure: there is no validation.*val/loss"):
        epochs(tmp_path, RunStopping("val/figure"), limit_val_batches=0)
    with pytest.raises(ValueError, match=r"val/other, which .* did not measure.*val/figure"):
        epochs(tmp_path, RunStopping("val/other"))
    with pytest.raises(ValueError, match="mode=most"):
        RunStopping("val/figure", "most")
    with pytest.raises(ValueError, match="patience=0"):
        RunStopping("val/figure", patience=0)
