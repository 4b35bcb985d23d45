"""What a run of a sweep tells its study while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_info

from callbacks.run.monitored import hindrance
from scripts.sweeps.early_termination import EarlyTermination
from scripts.sweeps.journal import open_journal
from scripts.sweeps.metric_missing import MetricMissing


class TrialReporter(L.Callback):
    """Reports the figure of a sweep after each validation, and ends a run that falls behind.

    A checkpoint holds what has been reported, so that a run that goes on, also in another study, goes on
    counting. At the end of its training a run is not ended: it is complete. Where the trial has ended, or the
    study is not there, as when the saved configuration of a run is used again, nothing is reported.

    Args:
        journal: The file of the study.
        study: Its name there.
        number: That of the trial.
        metric: The figure, as it is logged.
        file: The sweep file, for messages.
        termination: When a run ends early; None for never.
    """

    def __init__(
        self,
        journal: str,
        study: str,
        number: int,
        metric: str,
        file: str = "the sweep file",
        termination: EarlyTermination | None = None,
    ) -> None:
        self.journal, self.study, self.number = Path(journal), study, number
        self.metric, self.file, self.termination = metric, file, termination
        self._values: list[float] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuse a figure that this run cannot measure, before anything is trained.

        Raises:
            MetricMissing: Naming file, key, figure and reason.
        """
        if stage == "fit" and (why := hindrance(trainer, self.metric)):
            raise MetricMissing(f"{self.file}: metric.name is {self.metric}: {why}; correct it")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell the study what a checkpoint knows and it does not."""
        if trainer.is_global_zero:
            self._report()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and ask whether the run goes on.

        Raises:
            MetricMissing: If the validation did not measure the figure; names those that it did.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.metric not in trainer.callback_metrics:
            there = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise MetricMissing(
                f"{self.file}: metric.name is {self.metric}, which validation does not measure; "
                f"give one of {there}"
            )
        self._values.append(float(trainer.callback_metrics[self.metric]))
        trial = self._report() if trainer.is_global_zero else None
        stop = False
        if trial is not None and not _at_its_end(trainer) and self._judged() and trial.should_prune():
            trial.set_user_attr("pruned", len(self._values))
            stop = True
        if trainer.strategy.broadcast(stop):
            rank_zero_info(
                f"pruned after validation {len(self._values)}: {self.metric}={self._values[-1]:.4g}"
            )
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what has been reported."""
        return {"values": list(self._values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._values = list(state_dict["values"])

    def _report(self) -> Any:
        """Report what the study does not know yet; return the trial, None if there is none that runs."""
        if (trial := self._trial()) is None:
            return None
        known = trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        for step, value in enumerate(self._values, 1):
            if step not in known:
                trial.report(value, step)
        return trial

    def _judged(self) -> bool:
        """Return whether runs may end after so many validations."""
        last = None if self.termination is None else self.termination.last
        return self.termination is not None and (last is None or len(self._values) <= last)

    def _trial(self) -> Any:
        import optuna

        if not self.journal.exists():
            return None
        pruner = None if self.termination is None else self.termination.pruner()
        study = optuna.load_study(
            study_name=self.study,
            storage=open_journal(self.journal),
            sampler=optuna.samplers.RandomSampler(),  # nothing is drawn
            pruner=pruner or optuna.pruners.NopPruner(),
        )
        frozen = study.get_trials(deepcopy=False)[self.number]
        return None if frozen.state.is_finished() else optuna.trial.Trial(study, frozen._trial_id)


def _at_its_end(trainer: L.Trainer) -> bool:
    """Return whether training ends here anyhow."""
    last_batch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch + 1
    return trainer.should_stop or (last_batch and epochs) or 0 <= trainer.max_steps <= trainer.global_step
