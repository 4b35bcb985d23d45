"""How long training steps take under Lightning."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch


class StepTimer(L.Callback):
    """Seconds of each training step: forward, backward, optimiser; not the wait for its batch.

    Attributes:
        seconds: Of every step, in their order.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_train_batch_start(self, *args: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, *args: Any) -> None:
        """Stop it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # work there is only queued
        self.seconds.append(time.perf_counter() - self._started)
