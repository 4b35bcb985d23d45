"""The last checkpoint is the newest, the best that of the whole run, by a figure that can be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from callbacks import AtomicCheckpointIO, FeatureCollector, Retrieval, RunCheckpoint, ZeroShot
from callbacks.run.run_checkpoint import keep_previous
from lightning_modules.checkpoints import read_checkpoint

FIGURES = [0.3, 0.9, 0.5, 0.4]


class Worsening(L.LightningModule):
    """Its figure is best in the second of four epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/figure", torch.tensor(FIGURES[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    directory: Path, callback: RunCheckpoint, epochs: int = 4, ckpt_path: Path | None = None, **options: Any
) -> L.Trainer:
    loader = DataLoader(TensorDataset(torch.zeros(6, 1)), batch_size=2)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=directory, logger=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
        plugins=[AtomicCheckpointIO()], **options,
    )  # fmt: skip
    trainer.fit(Worsening(), loader, loader, ckpt_path=ckpt_path)
    return trainer


def steps(directory: Path) -> dict[str, int]:
    files = (directory / "checkpoints").glob("*.ckpt")
    return {path.stem: read_checkpoint(path)["global_step"] for path in files}


@pytest.mark.parametrize("every", [1, 2])
def test_best_last_and_the_one_before(every: int, tmp_path: Path) -> None:
    fit(tmp_path, RunCheckpoint("val/figure", "max"), check_val_every_n_epoch=every)
    assert steps(tmp_path) == {"best": 6, "last": 12, "previous": 9 if every == 1 else 6}


def test_the_last_is_written_within_an_epoch(tmp_path: Path) -> None:
    fit(tmp_path, RunCheckpoint("val/figure", "max", every_n_steps=2), epochs=1)
    assert steps(tmp_path) == {"best": 3, "last": 3, "previous": 2}
    fit(tmp_path / "clock", RunCheckpoint("val/figure", "max", minutes=0), epochs=1)
    assert steps(tmp_path / "clock")["previous"] == 2
    fit(tmp_path / "never", RunCheckpoint("val/figure", "max", minutes=None), epochs=1)
    assert steps(tmp_path / "never") == {"best": 3, "last": 3}


@pytest.mark.parametrize("same", [True, False])
def test_the_best_is_that_of_the_whole_run(same: bool, tmp_path: Path) -> None:
    fit(tmp_path / "one", RunCheckpoint("val/figure", "max"), epochs=3)
    other = tmp_path / ("one" if same else "other")
    last = tmp_path / "one" / "checkpoints" / "last.ckpt"
    callback = RunCheckpoint("val/figure", "max")
    fit(other, callback, ckpt_path=last)
    found = steps(other)
    assert (found["best"], found["last"]) == (6, 12)
    assert callback.best_model_path == str(other / "checkpoints" / "best.ckpt")
    assert callback.best_model_score == pytest.approx(0.9)
    assert {path.stem for path in (other / "checkpoints").iterdir()} <= {"best", "last", "previous"}


def test_a_best_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    fit(tmp_path / "one", RunCheckpoint("val/figure", "max"), epochs=3)
    (tmp_path / "one" / "checkpoints" / "best.ckpt").unlink()
    with pytest.warns(UserWarning, match=r"no longer at .*best\.ckpt"):
        fit(
            tmp_path / "other",
            RunCheckpoint("val/figure", "max"),
            ckpt_path=tmp_path / "one" / "checkpoints" / "last.ckpt",
        )
    assert steps(tmp_path / "other")["best"] == 12


def test_of_several_figures_the_first_that_is_measured(tmp_path: Path) -> None:
    figures = {"val/other": "min", "val/figure": "max"}
    with pytest.warns(UserWarning, match="val/other was not measured: best.ckpt is the best of val/figure"):
        fit(tmp_path, RunCheckpoint(figures))
    assert steps(tmp_path)["best"] == 6
    with pytest.warns(UserWarning, match="best of val/figure"):
        fit(tmp_path / "two", RunCheckpoint(figures), epochs=3)
    resumed = RunCheckpoint(figures)
    fit(tmp_path / "two", resumed, ckpt_path=tmp_path / "two" / "checkpoints" / "last.ckpt")
    assert (steps(tmp_path / "two")["best"], resumed.monitor) == (6, "val/figure")


def test_nothing_to_choose_by_keeps_the_last(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="best.ckpt is the last one written"):
        fit(tmp_path, RunCheckpoint({"val/other": "min"}))
    assert steps(tmp_path) == {"best": 12, "last": 12, "previous": 9}


def test_a_figure_that_was_asked_for_and_cannot_come_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val/figure: there is no validation.*val/loss"):
        fit(tmp_path, RunCheckpoint("val/figure", "max"), limit_val_batches=0)
    assert not (tmp_path / "checkpoints").exists()
    with pytest.raises(ValueError, match=r"val/other, which .* did not measure.*val/figure"):
        fit(tmp_path, RunCheckpoint("val/other", "max"))
    assert steps(tmp_path) == {"last": 3}  # nothing is lost


class Data(L.LightningDataModule):
    """The facts of data, as `hindrance` asks for them."""

    tokenizer: Any = None
    catalog = None
    made = augmented = False
    questions_sha256 = None
    phrases = ()

    def __init__(self, positives: int, negatives: int, names: tuple[str, ...] = ("a",)) -> None:
        super().__init__()
        self.counts = np.array([positives]), np.array([negatives])
        self.concept_names = names

    def most_labels(self, split: str) -> tuple[Any, Any]:
        return self.counts

    def claims(self, texts: Any) -> Any: ...
    def split_sha256(self, split: str, source: str | None = None) -> str: ...
    def evaluation_sources(self, split: str) -> tuple[str, ...]: ...


@pytest.mark.parametrize(
    ("data", "against"),
    [
        (Data(10, 10), None),
        (Data(9, 50), "no concept has 10 positives and 10 negatives (at most 9 of each)"),
        (Data(50, 0), "(at most 0 of each)"),
        (Data(0, 0, ()), "the data have no labels"),
    ],
)
def test_labels_are_counted_before_training(data: Data, against: str | None) -> None:
    trainer = L.Trainer(logger=False, enable_checkpointing=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    found = ZeroShot().hindrance(trainer, "val")
    assert found is None if against is None else against in str(found)
    assert Retrieval().hindrance(trainer, "val") == "the data have no reports"
    data.tokenizer = object()
    assert Retrieval().hindrance(trainer, "val") is None
    assert FeatureCollector is not None


def test_the_previous_survives_where_links_do_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no links here")

    keep_previous(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "last.ckpt").write_text("one")
    keep_previous(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "last.ckpt": "one",
        "previous.ckpt": "one",
    }
    (tmp_path / "last.ckpt").unlink()
    (tmp_path / "last.ckpt").write_text("two")
    monkeypatch.setattr("os.link", refuse)
    keep_previous(tmp_path)
    assert (tmp_path / "previous.ckpt").read_text() == "two"


@pytest.mark.parametrize(
    "wrong",
    [{"monitor": {"val/loss": "least"}}, {"minutes": -1.0}, {"minutes": float("nan")}, {"every_n_steps": 0}],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"RunCheckpoint: .*(max or min|at least)"):
        RunCheckpoint(**wrong)
