"""A callback that kills its process at one point of training, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L


class KillAt(L.Callback):
    """Sends SIGKILL to this process, unless the flag file is there already.

    Args:
        flag: Written before.
        point: Name of the hook.
        step: Optimizer steps at that time.
    """

    def __init__(self, flag: str, point: str, step: int) -> None:
        self.flag, self.point, self.step = Path(flag), point, step

    def _at(self, point: str, trainer: L.Trainer) -> None:
        if point == self.point and trainer.global_step == self.step and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._at("on_train_batch_end", trainer)

    def on_validation_start(self, trainer: L.Trainer, *args: Any) -> None:
        self._at("on_validation_start", trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        self._at("on_train_epoch_start", trainer)

    def on_fit_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._at("on_fit_end", trainer)
