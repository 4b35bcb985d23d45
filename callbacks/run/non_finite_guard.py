"""Stops a training whose numbers have left the finite, before it overwrites what was good."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from callbacks.base.files import written_whole
from callbacks.base.run_directory import run_directory
from datamodules.batch import INDEX

FAILURE = "failure.json"
"""File in the run's directory that says where training stopped; `make replay` reads it."""
_UNWATCHED = 16  # steps between two looks on a device that looking would stop


class NonFiniteError(RuntimeError):
    """Loss, gradient or weights are NaN or infinite."""


@dataclass
class _Step:
    step: int
    epoch: int
    batch: int
    samples: Tensor | None
    figures: dict[str, Tensor] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.figures.values())


class NonFiniteGuard(L.Callback):
    """Looks at the loss and the norm of the gradient of every step, and stops at the first NaN or infinity.

    Where weights are in another memory than the CPU's the figures of several steps are looked at together,
    because each look would make the device wait. `FAILURE` names the step, the figures and the samples (their
    index in the training split). With several processes the gradient alone is judged, which all of them hold;
    a loss that is not finite makes it so.

    Args:
        every_n_steps: Steps between two looks; None for 1 on a CPU, else 16.

    Raises:
        ValueError: If that is less than 1.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"NonFiniteGuard: every_n_steps={every_n_steps}: must be at least 1")
        self.every_n_steps = every_n_steps
        self._seen: list[_Step] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note which samples this step is of."""
        samples = batch.get(INDEX) if isinstance(batch, Mapping) else None
        self._seen.append(_Step(trainer.global_step, trainer.current_epoch, batch_idx, samples))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Note the loss; of several in a step, their sum."""
        if trainer.world_size == 1:
            self._note("loss", loss.detach())

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Note the norm of the gradient before it is clipped; where looking is free, look before the step."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # it lets gradients overflow on purpose, and leaves those steps out
        held = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if held:
            self._note("gradient_norm", get_total_norm(held))
            if self._steps_between(pl_module) == 1:
                self.look(trainer)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look, if it is time."""
        if len(self._seen) >= self._steps_between(pl_module):
            self.look(trainer)
            self._seen.clear()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look before the epoch's checkpoints are written."""
        self.look(trainer)
        self._seen.clear()

    def _steps_between(self, pl_module: L.LightningModule) -> int:
        return self.every_n_steps or (1 if pl_module.device.type == "cpu" else _UNWATCHED)

    def _note(self, name: str, value: Tensor) -> None:
        if self._seen:
            figures = self._seen[-1].figures
            figures[name] = figures[name] + value if name in figures else value

    def look(self, trainer: L.Trainer) -> None:
        """Stop if a figure noted since the last look is not finite.

        Raises:
            NonFiniteError: If there is one.
        """
        noted = [value.float().sum() for step in self._seen for value in step.figures.values()]
        if not noted or bool(torch.stack(noted).isfinite().all()):
            return
        wrong = next(step for step in self._seen if not step.finite)
        directory = run_directory(trainer)
        figures = {name: float(value.float().sum()) for name, value in wrong.figures.items()}
        samples = [] if wrong.samples is None else wrong.samples.tolist()
        told = ", ".join(f"{name} {value}" for name, value in figures.items())
        message = (
            f"training stopped: {told} in step {wrong.step} (epoch {wrong.epoch}, batch {wrong.batch}), on "
            f"the training samples {samples}. Look at them, lower the learning rate or clip the gradient"
        )
        if directory is not None:
            path = directory / (FAILURE if trainer.is_global_zero else f"failure-{trainer.global_rank}.json")
            place = {"step": wrong.step, "epoch": wrong.epoch, "batch": wrong.batch, "samples": samples}
            _write(path, place | {name: str(value) for name, value in figures.items()})
            message += f"; `make replay RUN={directory}` repeats the step ({path.name})"
        raise NonFiniteError(message)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def require_finite(trainer: L.Trainer) -> None:
    """Refuse to write a checkpoint of a training that is not finite over one of a training that was.

    Raises:
        NonFiniteError: If a guard has seen a figure, or there are weights, that are not finite.
    """
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for guard in (callback for callback in callbacks if isinstance(callback, NonFiniteGuard)):
        guard.look(trainer)
    if wrong := non_finite_weights(trainer.lightning_module):
        raise NonFiniteError(
            f"step {trainer.global_step}: {wrong}: no checkpoint is written; the last good one is as it was. "
            "Lower the learning rate or clip the gradient, and go on with --resume"
        )


def non_finite_weights(module: nn.Module) -> str:
    """Say how many weights of a module are NaN or infinite, and which is the first; empty if none is."""
    named = dict(module.named_parameters())
    sums = [parameter.detach().float().sum() for parameter in named.values()]
    if not sums or math.isfinite(float(torch.stack(sums).sum())):
        return ""
    wrong = [name for name, parameter in named.items() if not parameter.detach().isfinite().all()]
    return f"{len(wrong)} of {len(named)} weights are NaN or infinite, the first {wrong[0]}" if wrong else ""
