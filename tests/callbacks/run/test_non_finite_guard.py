"""Training stops at the first step that is not finite, names its samples, and saves no such weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from callbacks import NonFiniteGuard, RunCheckpoint
from callbacks.run.non_finite_guard import NonFiniteError
from datamodules.batch import INDEX

BAD = 5  # the step, of batches of two samples


class Samples(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {INDEX: index, "x": torch.tensor(float(index))}


class Spoilt(L.LightningModule):
    """In one step its loss, or only its gradient, or only a weight, is not finite."""

    def __init__(self, what: str, value: float) -> None:
        super().__init__()
        self.what, self.value = what, value
        self.weight = torch.nn.Parameter(torch.ones(2))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        loss = (self.weight * batch["x"].mean()).square().sum() * 1e-4
        if self.global_step == BAD:
            if self.what == "loss":
                return loss * self.value
            if self.what == "gradient":
                self.weight.register_hook(lambda gradient: gradient * self.value)
            if self.what == "weight":
                self.weight.data[1] = self.value
                return self.weight[0].square()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(directory: Path, module: L.LightningModule, *callbacks: L.Callback, **options: Any) -> None:
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, default_root_dir=directory, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[*callbacks, RunCheckpoint(minutes=0)], **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(Samples(), batch_size=2))


def saved(path: Path) -> torch.Tensor:
    return torch.load(path, weights_only=True)["state_dict"]["weight"]


@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_it_stops_and_names_step_and_samples(
    what: str, value: float, every: int | None, tmp_path: Path
) -> None:
    module = Spoilt(what, value)
    with pytest.raises(NonFiniteError, match=rf"in step {BAD} .*samples \[10, 11\].*make replay"):
        fit(tmp_path, module, NonFiniteGuard(every))
    told = json.loads((tmp_path / "failure.json").read_text())
    assert (told["step"], told["epoch"], told["batch"], told["samples"]) == (BAD, 0, BAD, [10, 11])
    if every is None:
        assert module.weight.isfinite().all()  # the step was not made
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        assert saved(path).isfinite().all()
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == BAD


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_not_saved(value: float, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"1 of 1 weights are NaN or infinite, the first weight"):
        fit(tmp_path, Spoilt("weight", value))  # without the guard
    assert (
        torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["weight"]
        .isfinite()
        .all()
    )


def test_a_training_that_goes_well_is_left_alone(tmp_path: Path) -> None:
    fit(tmp_path, Spoilt("nothing", 1.0), NonFiniteGuard(), accumulate_grad_batches=2)
    assert not (tmp_path / "failure.json").exists()
    with pytest.raises(ValueError, match="every_n_steps=0"):
        NonFiniteGuard(0)
