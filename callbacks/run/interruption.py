"""A run that is asked to stop writes its last checkpoint first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from types import FrameType
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.base.run_directory import run_directory
from callbacks.run.run_checkpoint import RunCheckpoint

EXIT_CODE = 128 + signal.SIGTERM
_RANKS_AGREE_EVERY = 8  # batches: asking costs the ranks a message


class Interruption(L.Callback):
    """Ends a fit on SIGTERM after the running step: ``last.ckpt`` is written and the process exits with 143.

    Under SLURM the signal that announces the end of the allotted time (``sbatch --signal=SIGUSR1@90``) does
    the same, and puts the job back into the queue, where it goes on from there.

    Lightning 2.6 exits with 0 on SIGTERM and saves nothing, and requeues from within whatever line the signal
    came in, so that a step may be done half, or twice. A second SIGTERM ends the process at once. While a
    validation runs nothing is written: then the checkpoint before it stands.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._written = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen. Lightning has put its own handlers in place by now, and takes ours away in the end."""
        self._asked, self._written = None, False
        wanted = [signal.SIGTERM, *([signal.SIGUSR1] if SLURMEnvironment.detect() else [])]
        try:
            self._before = {number: signal.signal(number, self._note) for number in wanted}
        except ValueError:  # not in the main thread, where signals cannot be listened to
            self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the checkpoint, if asked to stop. After an epoch's last batch its end does so."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or not self._to_stop(trainer, batch_idx):
            return
        writers = [c for c in trainer.checkpoint_callbacks if isinstance(c, RunCheckpoint)]
        directory = run_directory(trainer)
        if writers:
            writers[0].write_last(trainer)
        elif trainer.checkpoint_callbacks and directory is not None:
            trainer.save_checkpoint(directory / "checkpoints" / "last.ckpt")
        self._written = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End the process: by now the figures of the step before are logged as well.

        Raises:
            SystemExit: If asked to stop.
        """
        if self._written:
            self._written = False
            if self._asked == signal.SIGTERM or requeue(trainer):
                self._end(f"stopped at step {trainer.global_step}; go on with --resume")

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *arguments: Any, **more: Any
    ) -> None:
        """End the process: training stands still, and going on repeats the validation."""
        if self._asked == signal.SIGTERM and trainer.world_size == 1:
            self._end("stopped during a validation; go on from the checkpoint before it with --resume")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen no more."""
        self._restore()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Listen no more."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _to_stop(self, trainer: L.Trainer, batch_idx: int) -> bool:
        asked = self._asked is not None
        if trainer.world_size == 1:
            return asked
        if batch_idx % _RANKS_AGREE_EVERY:
            return False
        if not trainer.strategy.reduce_boolean_decision(asked, all=False):
            return False
        terminated = trainer.strategy.reduce_boolean_decision(self._asked == signal.SIGTERM, all=False)
        self._asked = signal.SIGTERM if terminated else signal.SIGUSR1  # on every rank the same from here on
        return True

    @staticmethod
    def _end(message: str) -> None:
        rank_zero_info(message)
        raise SystemExit(EXIT_CODE)


def slurm_job() -> str | None:
    """Return what names this SLURM job, the same after it was requeued; None outside SLURM."""
    if not SLURMEnvironment.detect():
        return None
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return os.environ.get("SLURM_JOB_ID")


def requeue(trainer: L.Trainer) -> bool:
    """Put this SLURM job back into the queue. Call it on every rank.

    Returns:
        Whether it is there. If not, training goes on until SLURM ends it.
    """
    done = True
    if trainer.is_global_zero:
        job, program = slurm_job(), shutil.which("scontrol")
        done = bool(job and program) and subprocess.call([str(program), "requeue", str(job)]) == 0
        if not done:
            rank_zero_warn(f"SLURM job {job} could not be put back into the queue: start it again by hand")
    return bool(trainer.strategy.broadcast(done))
