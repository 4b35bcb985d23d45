"""Repeats one training step and tells where its numbers leave the finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from datamodules.batch import INDEX
from synthesis.limits import at_least


class StepReplay(L.Callback):
    """Trains up to a step, looks at everything in it, and stops.

    Batches are pure functions of the configuration, so that training from an earlier checkpoint comes to the
    same step with the same weights. Told are: each tensor of the batch with its range, the first module whose
    output is not finite, the loss, and the weights whose gradients are not finite.

    Args:
        step: Number of the step, as in ``failure.json``.

    Attributes:
        told: The lines, in order.
    """

    def __init__(self, step: int) -> None:
        at_least(self, 0, step=step)
        self.step = step
        self.told: list[str] = []
        self._handles: list[RemovableHandle] = []
        self._first: str | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look at the batch, and listen to every module."""
        if trainer.global_step != self.step:
            return
        self._tell(f"step {self.step}, epoch {trainer.current_epoch}, batch {batch_idx}")
        for name, value in _tensors(batch):
            self._tell(f"  batch {name}: {_range(value)}")
            if name == INDEX:
                self._tell(f"  training samples: {value.tolist()}")
        for name, module in pl_module.named_modules():
            self._handles.append(module.register_forward_hook(self._listener(name)))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Tell the loss and where it comes from."""
        if self._handles:
            self._tell(f"  first module whose output is not finite: {self._first or 'none'}")
            self._tell(f"  loss: {float(loss.detach())}")

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Tell which gradients are not finite, and stop before the step is made.

        Raises:
            SystemExit: Always in this step.
        """
        if self._handles:
            held = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
            wrong = [name for name, gradient in held.items() if not gradient.isfinite().all()]
            first = f", the first {wrong[0]}" if wrong else ""
            self._tell(f"  weights whose gradient is not finite: {len(wrong)} of {len(held)}{first}")
            for handle in self._handles:
                handle.remove()
            raise SystemExit(0)

    def _listener(self, name: str) -> Any:
        def listen(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            if self._first is None and any(not value.isfinite().all() for _, value in _tensors(output)):
                entered = all(bool(value.isfinite().all()) for _, value in _tensors(inputs))
                came = "what it was given was finite" if entered else "so was what it was given"
                self._first = f"{name or 'the model'} ({type(module).__name__}; {came})"

        return listen

    def _tell(self, line: str) -> None:
        self.told.append(line)
        print(line, flush=True)


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _tensors(inner, f"{name}[{number}]")


def _range(value: Tensor) -> str:
    shape = f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    finite = value[value.isfinite()] if value.is_floating_point() else value
    ends = f", {finite.min().item():.4g} to {finite.max().item():.4g}" if finite.numel() else ""
    left = value.numel() - finite.numel()
    return f"{shape}{ends}" + (f", {left} not finite" if left else "")
