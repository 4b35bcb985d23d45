"""The checkpoints that a run leaves."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """Writes ``best.ckpt`` by a figure, and ``last.ckpt`` after every validation.

    Lightning 2.6 renews ``last.ckpt`` only where the best has been renewed too: after a last epoch that is no
    better than an earlier one, it would be that of the earlier one, and a run resumed from it would repeat
    what it had done.

    Args:
        monitor: The figure, as it is logged; None for none.
        mode: Whether the best is the highest (``max``) or the lowest (``min``).
        **kwargs: Further arguments of `ModelCheckpoint`.
    """

    def __init__(self, monitor: str | None = None, mode: str = "min", **kwargs: Any) -> None:
        # Slashes in metric names would make folders of inserted names.
        settings: dict[str, Any] = {"filename": "best", "save_last": True, "auto_insert_metric_name": False}
        super().__init__(monitor=monitor, mode=mode, **settings | kwargs)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is due at the end of an epoch that was validated, and the last in any case."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._write_last(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is due after a validation, and the last in any case."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._write_last(trainer)

    def _write_last(self, trainer: L.Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):  # it has been written with the best just now
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
