"""How far a run is, in a log; and how long it will take, anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from synthesis.progress import Lines, duration, is_terminal, write_line

_SETTLED = 20
_SECONDS = 10.0
_FOLLOWING: ContextVar[int] = ContextVar("following", default=0)


@contextmanager
def followed_by(fits: int) -> Iterator[None]:
    """Let the estimate of a fit tell how long it takes with those that this process carries out after it.

    Args:
        fits: How many there are, about as long as this one.
    """
    before = _FOLLOWING.set(fits)
    try:
        yield
    finally:
        _FOLLOWING.reset(before)


class ProgressLines(L.Callback):
    """Writes a line every half minute where no bar is drawn, and says how long a fit will take.

    The lines name what is going on: steps of training, batches of an evaluation, or what follows them
    (probes, bootstraps, pictures), which counts nothing. The estimate is made of the steps and validations
    measured so far and renewed when it was far off. Rank zero writes; nothing is written without a progress
    bar (``enable_progress_bar=false``).
    """

    def __init__(self) -> None:
        self._lines: Lines | None = None
        self._said: float | None = None
        self._steps, self._since, self._began = 0, 0.0, 0.0
        self._validating, self._validations, self._validation_seconds = 0.0, 0, 0.0
        self._training_seconds = 0.0

    # -------------------------------------------------------------------------------------------------- hooks
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Start the lines."""
        wanted = trainer.progress_bar_callback is not None and trainer.is_global_zero
        self._said = None
        self._steps = self._validations = 0
        self._training_seconds = self._validation_seconds = 0.0
        if wanted and not is_terminal() and self._lines is None:
            self._lines = Lines(f"{stage}: setting up").__enter__()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Stop them."""
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Stop them."""
        self._stop()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the fit."""
        self._began = time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the steps of the epoch."""
        self._begin(
            f"epoch {trainer.current_epoch + 1}{_of(trainer)}: training",
            trainer.num_training_batches,
            "steps",
        )
        self._since = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Count a step, and estimate when there is enough to go by."""
        now = time.monotonic()
        self._training_seconds += now - self._since
        self._since = now
        self._steps += 1
        if self._steps == 1:  # warm-up: workers start, kernels are chosen
            self._training_seconds = 0.0
        if self._lines is not None:
            self._lines.done += 1
        if self._said is None and self._steps > _SETTLED and self._training_seconds > _SECONDS:
            self._estimate(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the batches of a validation."""
        self._validating = time.monotonic()
        self._begin("validation", _total(trainer.num_val_batches), "batches")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Correct the estimate by what the validation took."""
        self._since = time.monotonic()
        self._validation_seconds += self._since - self._validating
        self._validations += 1
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if self._steps > 1:
                self._estimate(trainer)
            self._begin("checkpoints and pictures")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the batches of a test."""
        self._begin("test", _total(trainer.num_test_batches), "batches")

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the batches of a prediction."""
        self._begin("prediction", _total(trainer.num_predict_batches), "batches")

    def on_validation_batch_end(self, *args: Any) -> None:
        """Count a batch."""
        self._advance()

    def on_test_batch_end(self, *args: Any) -> None:
        """Count a batch."""
        self._advance()

    def on_predict_batch_end(self, *args: Any) -> None:
        """Count a batch."""
        self._advance()

    # -------------------------------------------------------------------------------------------------- parts
    def _begin(self, what: str, total: float | None = None, unit: str = "") -> None:
        if self._lines is not None:
            self._lines.begin(what, total, unit)

    def _advance(self) -> None:
        lines = self._lines
        if lines is None:
            return
        lines.done += 1
        if lines.total and lines.done >= lines.total:
            lines.begin(f"{lines.what}: evaluations, intervals, pictures")

    def _stop(self) -> None:
        if self._lines is not None:
            self._lines.__exit__(None, None, None)
            self._lines = None

    def _estimate(self, trainer: L.Trainer) -> None:
        """Say how long the fit will take from now, if it has not been said, or was far off."""
        if trainer.progress_bar_callback is None or not trainer.is_global_zero:
            return
        left = self.seconds_left(trainer)
        if left is None:
            return
        end = time.monotonic() + left
        if self._said is not None and abs(end - self._said) < max(60.0, 0.3 * left):
            return
        corrected = "" if self._said is None else "corrected: "
        self._said = end
        line = f"{corrected}this fit takes about {duration(left)} more on this machine"
        if following := _FOLLOWING.get():
            whole = time.monotonic() - self._began + left
            line += f"; with the {following} after it {duration(left + following * whole)}"
        write_line(line)

    def seconds_left(self, trainer: L.Trainer) -> float | None:
        """Return the seconds that a fit has still to go; None if nothing ends it but time or chance."""
        per_step = self._training_seconds / max(1, self._steps - 1)
        batches = float(trainer.num_training_batches)
        ends = []
        if trainer.max_epochs not in (None, -1):
            ends.append((trainer.max_epochs or 0) * batches - trainer.fit_loop.total_batch_idx - 1)
        if trainer.max_steps > 0:
            ends.append((trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
        if not ends or min(ends) == float("inf"):
            return None
        steps = max(0.0, min(ends))
        seconds = steps * per_step
        if self._validations and batches > 0 and trainer.enable_validation:
            rounds = steps / batches / (trainer.check_val_every_n_epoch or 1)
            seconds += rounds * self._validation_seconds / self._validations
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for timer in (callback for callback in callbacks if isinstance(callback, Timer)):
            rest = timer.time_remaining("train")
            seconds = seconds if rest is None else min(seconds, rest)
        return seconds


def _of(trainer: L.Trainer) -> str:
    return f" of {trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""


def _total(batches: Any) -> float:
    return float(sum(batches)) if isinstance(batches, list) else float(batches)
