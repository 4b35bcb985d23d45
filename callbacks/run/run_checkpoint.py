"""The checkpoints that a run leaves."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.base.files import written_whole
from callbacks.run.monitored import WORST, figures_of, hindrance, told
from callbacks.run.non_finite_guard import require_finite

PREVIOUS = "previous.ckpt"
"""The checkpoint that was `last.ckpt` before."""
UNLOGGED = "unlogged"
"""In its state: the row of ``metrics.csv`` that was not yet written."""
_RANKS_AGREE_EVERY = 8  # batches: asking costs the ranks a message


class RunCheckpoint(ModelCheckpoint):
    """Writes ``best.ckpt`` by a figure; ``last.ckpt`` after every validation and every few minutes.

    Training goes on from ``last.ckpt`` to the bit, also from the middle of an epoch. The one before it is
    kept as ``previous.ckpt``, for the case that the last is damaged.

    Lightning 2.6 renews ``last.ckpt`` only where the best has been renewed too: after a last epoch that is no
    better than an earlier one, it would be that of the earlier one, and a run resumed from it would repeat
    what it had done.

    Args:
        monitor: The figure, as it is logged; or figures with what is best of each (``max`` or ``min``), the
            first of which is taken that this run's validation can measure; or None: ``best.ckpt`` is the
            last. What is taken is told when the run begins.
        mode: What is best of a single figure, ``max`` or ``min``.
        minutes: Time between two ``last.ckpt``; None for none between validations.
        every_n_steps: Steps between two, as well; None leaves it to the clock.
        **kwargs: Further arguments of `ModelCheckpoint`.

    Raises:
        ValueError: If a mode, ``minutes`` or ``every_n_steps`` makes no sense.
    """

    def __init__(
        self,
        monitor: str | dict[str, str] | None = None,
        mode: str = "min",
        minutes: float | None = 5.0,
        every_n_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        figures = figures_of(self, monitor, mode)
        if (minutes is not None and not minutes >= 0) or (every_n_steps is not None and every_n_steps < 1):
            raise ValueError(
                f"RunCheckpoint: minutes={minutes} must be at least 0, "
                f"every_n_steps={every_n_steps} at least 1"
            )
        # Slashes in metric names would make folders of inserted names. A run has its directory to itself, and
        # one that goes on writes over its own files.
        settings: dict[str, Any] = {
            "filename": "best",
            "save_last": True,
            "auto_insert_metric_name": False,
            "enable_version_counter": False,
        }
        first, best = next(iter(figures.items()), (None, "min"))
        super().__init__(monitor=first, mode=best, **settings | kwargs)
        self.figures, self.demanded = figures, isinstance(monitor, str)
        self.minutes, self.every_n_steps = minutes, every_n_steps
        self._latest = time.monotonic()
        self._fitting = self._writes = False
        self._unlogged: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        """The name under which checkpoints hold the state: it does not depend on the figure."""
        return f"{type(self).__qualname__}[{self.filename}]"

    # --------------------------------------------------------------------------------- what is monitored
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Choose the figure, before anything is trained.

        Raises:
            ValueError: If a single figure was asked for, and it cannot be measured.
        """
        super().setup(trainer, pl_module, stage)
        self._fitting, self._writes = stage == "fit", trainer.is_global_zero
        if stage == "fit" and self.figures:
            self._choose({name: hindrance(trainer, name) for name in self.figures})

    def _choose(self, hindrances: Mapping[str, str | None]) -> None:
        against = told(hindrances)
        possible = [name for name, why in hindrances.items() if why is None]
        if not possible and self.demanded:
            raise ValueError(
                f"best.ckpt was to be chosen by a figure that this run cannot measure ({against}). Monitor "
                "val/loss, give validation data that have it, or null to keep the last alone"
            )
        self._monitor_by(possible[0] if possible else None)
        kept = f"the best of {self.monitor} ({self.mode})" if self.monitor else "the last one written"
        rank_zero_info(f"best.ckpt is {kept}{f' ({against})' if against else ''}")

    def _monitor_by(self, name: str | None) -> None:
        self.monitor, self.mode = name, self.figures[name] if name else "min"
        self.kth_value = torch.tensor(WORST[self.mode])

    def _save_topk_checkpoint(self, trainer: L.Trainer, monitor_candidates: dict[str, torch.Tensor]) -> None:
        """Save if it is the best; at the first validation, go over to a figure that is there.

        How many samples of which kind made pairs hold is known only when they are there.
        """
        if self.monitor is not None and self.monitor not in monitor_candidates:
            there = [name for name in self.figures if name in monitor_candidates]
            if self.demanded:
                self._save_last_checkpoint(trainer, monitor_candidates)  # nothing that was trained is lost
                raise ValueError(
                    f"best.ckpt was to be chosen by {self.monitor}, which this validation did not measure. "
                    f"It measured {sorted(set(monitor_candidates) - {'epoch', 'step'})}. last.ckpt is "
                    "written: choose one of these and go on with --resume"
                )
            before = self.monitor
            self._monitor_by(there[0] if there else None)
            instead = f"the best of {self.monitor}" if self.monitor else "the last one written"
            rank_zero_warn(f"{before} was not measured: best.ckpt is {instead} instead")
        super()._save_topk_checkpoint(trainer, monitor_candidates)

    # -------------------------------------------------------------------------------------- what is saved
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._latest = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the last if it is time. After the last batch of an epoch the validation's end does it."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch and self._due(trainer, batch_idx):
            self.write_last(trainer)

    def _due(self, trainer: L.Trainer, batch_idx: int) -> bool:
        steps = trainer.global_step
        if self.every_n_steps is not None and steps and steps % self.every_n_steps == 0:
            return True
        if self.minutes is None or (trainer.world_size > 1 and batch_idx % _RANKS_AGREE_EVERY):
            return False
        over = time.monotonic() - self._latest >= 60 * self.minutes
        return bool(trainer.strategy.broadcast(over)) if trainer.world_size > 1 else over

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is due at the end of an epoch that was validated, and the last in any case."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._write_last_unless_new(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is due after a validation, and the last in any case."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._write_last_unless_new(trainer)

    def _write_last_unless_new(self, trainer: L.Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):  # it has been written with the best just now
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def write_last(self, trainer: L.Trainer) -> None:
        """Write ``last.ckpt`` after a batch in the middle of an epoch. Call it on every rank."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        saved = self._last_global_step_saved
        self._unlogged = figures_to_log(trainer)
        self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        self._unlogged = {}
        self._last_global_step_saved = saved  # a validation may follow in this step, with a best of its own

    def _save_last_checkpoint(self, trainer: L.Trainer, monitor_candidates: dict[str, torch.Tensor]) -> None:
        if self._writes and self.save_last and self.dirpath is not None:
            keep_previous(Path(self.dirpath))
        super()._save_last_checkpoint(trainer, monitor_candidates)
        self._latest = time.monotonic()

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        require_finite(trainer)
        super()._save_checkpoint(trainer, filepath)

    # ----------------------------------------------------------------------------------- what is restored
    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this: also figures that the loggers get only after it."""
        return {**super().state_dict(), UNLOGGED: self._unlogged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best so far from the checkpoint that training goes on from, into another directory too."""
        if not self._fitting:
            return
        before, name = state_dict.get("monitor"), state_dict.get("best_model_path") or ""
        if before is not None and before != self.monitor and before in self.figures:
            self._monitor_by(before)
        if before != self.monitor:
            rank_zero_warn(f"the best so far was chosen by {before}, from here on it is {self.monitor}")
            return
        own = Path(str(self.dirpath), Path(name).name)
        if name and Path(name).absolute() != own.absolute():
            if not Path(name).is_file():
                rank_zero_warn(
                    f"the best checkpoint so far ({self.monitor} = {state_dict['best_model_score']}) is no "
                    f"longer at {name}: best.ckpt will be the best from here on"
                )
                return
            if self._writes:
                with written_whole(own) as partial:
                    shutil.copyfile(name, partial)
        super().load_state_dict(_moved(state_dict, name, str(own), str(self.dirpath)))


def _moved(state: Mapping[str, Any], before: str, path: str, directory: str) -> dict[str, Any]:
    """Return the state of a `ModelCheckpoint` as if it had always written to this directory."""
    score = state["best_model_score"]
    best = {path: score} if before and score is not None else {}
    names = {"best_model_path": path if before else "", "kth_best_model_path": path if best else ""}
    last = str(Path(directory, "last.ckpt"))
    return {**state, **names, "best_k_models": best, "last_model_path": last, "dirpath": directory}


def figures_to_log(trainer: L.Trainer) -> dict[str, Any]:
    """Return the figures of the running step as its row in ``metrics.csv``; nothing if it has none.

    Lightning logs them after its callbacks. A run that is killed in between would lack a row.
    """
    connector = trainer._logger_connector  # no public name
    if not connector.should_update_logs or not trainer.loggers:
        return {}
    figures = {name: float(value) for name, value in connector.metrics["log"].items()}
    step = trainer.fit_loop.epoch_loop._batches_that_stepped
    return {**figures, "epoch": trainer.current_epoch, "step": step} if figures else {}


def keep_previous(directory: Path) -> None:
    """Give ``last.ckpt`` the second name ``previous.ckpt``, before another one takes the first."""
    last, second = directory / "last.ckpt", directory / f".{PREVIOUS}.partial"
    if not last.is_file():
        return
    second.unlink(missing_ok=True)
    try:
        os.link(last, second)
    except OSError:  # a file system without links: for a moment there is no last.ckpt then
        last.replace(directory / PREVIOUS)
    else:
        second.replace(directory / PREVIOUS)
