"""How far a run is, in a log; and how long it will take."""

from __future__ import annotations

import re
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch.utils.data import DataLoader

from callbacks.run import progress_lines
from callbacks.run.model_size import ModelSize
from callbacks.run.progress_lines import ProgressLines, followed_by
from synthesis import progress


class Slow(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor) -> None:
        time.sleep(0.02)

    def on_validation_epoch_end(self) -> None:
        time.sleep(0.2)  # as an evaluation does, which has no steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, bar: bool = True) -> None:
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, num_sanity_val_steps=0,
        callbacks=[ProgressLines(), *([RichProgressBar()] if bar else [])], enable_progress_bar=bar,
        default_root_dir=folder, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(torch.ones(20, 1))
    trainer.fit(Slow(), loader, loader)


def test_a_log_tells_every_part_of_a_fit_and_how_long_it_takes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setattr(progress_lines, "_SETTLED", 5)
    monkeypatch.setattr(progress_lines, "_SECONDS", 0.05)
    with followed_by(900):
        fit(tmp_path)
    written = capfd.readouterr().out
    assert re.search(
        r"^epoch 1 of 2: training: \d+ of 20 steps, \d+ steps/s, \d s left$", written, re.MULTILINE
    )
    assert re.search(r"^validation: \d+ of 20 batches", written, re.MULTILINE)
    assert "validation: evaluations, intervals, pictures: 0 s so far" in written
    told = re.search(
        r"^this fit takes about \d s more on this machine; with the 900 after it (\d+) min$",
        written,
        re.MULTILINE,
    )
    assert told is not None and 10 <= int(told[1]) <= 90  # a fit sleeps for about 2 s
    time.sleep(0.15)
    assert capfd.readouterr().out == "", "the lines end with the run"


def test_without_a_progress_bar_nothing_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setattr(progress_lines, "_SETTLED", 5)
    monkeypatch.setattr(progress_lines, "_SECONDS", 0.05)
    fit(tmp_path, bar=False)
    assert not re.search("training|this fit", capfd.readouterr().out)


def test_the_model_is_summed_up_in_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, limit_val_batches=0,
        callbacks=[ModelSize()], enable_progress_bar=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Slow(), DataLoader(torch.ones(1, 1)))
    assert "2 parameters, 2 trained: layer 2\n" in capfd.readouterr().out
