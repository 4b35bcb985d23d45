"""The length of the gradient while training."""

from __future__ import annotations

import lightning as L
import torch
from torch.optim import Optimizer


class GradientNorm(L.Callback):
    """Logs ``train/gradient_norm``, before clipping.

    The L2 norm over all weights of the optimiser. Where a module has several (`AdversarialGenerator`), each
    has a figure of its own: ``train/gradient_norm/0`` and so on.
    """

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure and log."""
        gradients = [
            w.grad for group in optimizer.param_groups for w in group["params"] if w.grad is not None
        ]
        suffix = f"/{trainer.optimizers.index(optimizer)}" if len(trainer.optimizers) > 1 else ""
        if gradients:
            pl_module.log(f"train/gradient_norm{suffix}", torch.nn.utils.get_total_norm(gradients))
