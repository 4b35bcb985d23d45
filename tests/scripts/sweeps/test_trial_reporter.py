"""What a run of a sweep tells its study while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import optuna
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from scripts.sweeps.early_termination import EarlyTermination
from scripts.sweeps.journal import open_journal
from scripts.sweeps.metric_missing import MetricMissing
from scripts.sweeps.trial_reporter import TrialReporter

HALVING = EarlyTermination(1, 2)


class Scored(L.LightningModule):
    """Logs given figures, one a validation."""

    def __init__(self, figures: Sequence[float]) -> None:
        super().__init__()
        self.layer, self.figures = torch.nn.Linear(1, 1), figures

    def training_step(self, batch: Any, index: int) -> Any:
        return self.layer(batch).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/score", self.figures[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def study_in(path: Path) -> optuna.Study:
    return optuna.create_study(
        study_name="s",
        storage=open_journal(path / "study.journal"),
        direction="maximize",
        load_if_exists=True,
    )


def fit(
    path: Path, number: int, figures: Sequence[float], epochs: int = 4, metric: str = "val/score",
    ckpt: Path | None = None, termination: EarlyTermination | None = HALVING,
) -> L.Trainer:  # fmt: skip
    while len(study_in(path).trials) <= number:
        study_in(path).ask()
    reporter = TrialReporter(str(path / "study.journal"), "s", number, metric, "s.yaml", termination)
    saved = ModelCheckpoint(path / str(number), save_last=True)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=epochs, callbacks=[saved, reporter], logger=False,
        num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(torch.ones(2, 1))
    trainer.fit(Scored(figures), data, data, ckpt_path=None if ckpt is None else str(ckpt))
    return trainer


def test_a_run_that_falls_behind_ends_and_says_so(tmp_path: Path) -> None:
    fit(tmp_path, 0, [0.5, 0.6, 0.7, 0.8])
    ended = fit(tmp_path, 1, [0.6, 0.5, 0.9, 0.9])  # better at the first, worse at the second validation
    whole, behind = study_in(tmp_path).trials
    assert whole.intermediate_values == pytest.approx({1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8})
    assert "pruned" not in whole.user_attrs and behind.user_attrs["pruned"] == 2
    assert behind.intermediate_values == pytest.approx({1: 0.6, 2: 0.5}) and ended.current_epoch == 2


def test_a_run_is_not_ended_at_its_end_nor_without_termination_nor_after_the_last_judgement(
    tmp_path: Path,
) -> None:
    for number, termination in enumerate((EarlyTermination(4, 2), EarlyTermination(4, 2), None)):
        fit(tmp_path, number, [0.5 - number / 10] * 4, termination=termination)
    fit(tmp_path, 3, [0.9, 0.9, 0.9, 0.9], termination=EarlyTermination(1, 2, last=1))
    fit(tmp_path, 4, [0.9, 0.0, 0.0, 0.0], termination=EarlyTermination(1, 2, last=1))
    trials = study_in(tmp_path).trials
    assert [len(trial.intermediate_values) for trial in trials] == [4] * 5
    assert not any("pruned" in trial.user_attrs for trial in trials)


def test_a_run_goes_on_counting_also_in_another_study(tmp_path: Path) -> None:
    fit(tmp_path, 0, [0.5, 0.6], epochs=2)
    fit(tmp_path, 1, [0.5, 0.6, 0.7, 0.8], ckpt=tmp_path / "0" / "last.ckpt")  # nothing is known of it there
    fit(tmp_path, 1, [0.5, 0.6, 0.7, 0.8], ckpt=tmp_path / "0" / "last.ckpt")  # and here all is
    assert study_in(tmp_path).trials[1].intermediate_values == pytest.approx({1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8})


def test_the_configuration_of_a_run_that_has_ended_can_be_used_again(tmp_path: Path) -> None:
    fit(tmp_path, 0, [0.5, 0.6], epochs=2)
    study_in(tmp_path).tell(0, 0.6)
    assert fit(tmp_path, 0, [0.1] * 4).current_epoch == 4
    assert study_in(tmp_path).trials[0].intermediate_values == pytest.approx({1: 0.5, 2: 0.6})
    (tmp_path / "study.journal").rename(tmp_path / "elsewhere")
    reporter = TrialReporter(str(tmp_path / "study.journal"), "s", 0, "val/score")
    reporter.load_state_dict({"values": [0.5]})
    assert reporter._report() is None and not (tmp_path / "study.journal").exists()


def test_a_figure_that_is_not_measured_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MetricMissing, match=r"s\.yaml: metric\.name is val/none.* give one of val/score"):
        fit(tmp_path, 0, [0.5], metric="val/none")


def test_a_figure_that_cannot_be_measured_ends_a_run_before_it_trains(tmp_path: Path) -> None:
    reporter = TrialReporter(str(tmp_path / "j"), "s", 0, "val/zero_shot/auroc_macro", "s.yaml")
    trainer = L.Trainer(accelerator="cpu", callbacks=[reporter], logger=False, limit_val_batches=0)
    with pytest.raises(
        MetricMissing, match=r"s\.yaml: metric\.name is val/.*: there is no validation; correct it"
    ):
        reporter.setup(trainer, Scored([]), "fit")
