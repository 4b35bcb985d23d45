"""When a run that gets no better ends."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from callbacks.run.monitored import WORST, figures_of, hindrance, told
from synthesis.limits import at_least


class RunStopping(EarlyStopping):
    """Ends training when a figure has not got better for some validations.

    Lightning's `EarlyStopping` ends a run with an error where its figure was not measured; a small validation
    split may lack the samples for it. This takes the first of several that is measured, as `RunCheckpoint`
    does, and stops nothing where none is.

    Args:
        monitor: The figure, as it is logged; or figures with what is best of each (``max`` or ``min``), the
            first of which is taken that this run's validation can measure. What is taken is told when the
            run begins.
        mode: What is best of a single figure, ``max`` or ``min``.
        patience: Validations without a better one after which training ends.
        **kwargs: Further arguments of `EarlyStopping`.

    Raises:
        ValueError: If a mode makes no sense, or patience is below 1.
    """

    def __init__(
        self, monitor: str | dict[str, str], mode: str = "min", patience: int = 3, **kwargs: Any
    ) -> None:
        figures = figures_of(self, monitor, mode)
        if not figures or patience < 1:
            raise ValueError(
                f"RunStopping: monitor={monitor!r}, patience={patience}: give a figure, such as val/loss, "
                "and a patience of 1 or more"
            )
        at_least(self, 0, min_delta=kwargs.get("min_delta", 0.0))
        first, best = next(iter(figures.items()))
        super().__init__(monitor=first, mode=best, patience=patience, **kwargs)
        self.figures, self.demanded = figures, isinstance(monitor, str)
        self._step = abs(self.min_delta)
        self._silent = False  # whether no figure can be measured

    @property
    def state_key(self) -> str:
        """The name under which checkpoints hold the state: it does not depend on the figure."""
        return type(self).__qualname__

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Choose the figure, before anything is trained.

        Raises:
            ValueError: If a single figure was asked for, and it cannot be measured.
        """
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        hindrances = {name: hindrance(trainer, name) for name in self.figures}
        possible = [name for name, why in hindrances.items() if why is None]
        if not possible and self.demanded:
            raise ValueError(
                f"training was to end by a figure that this run cannot measure ({told(hindrances)}): monitor "
                "val/loss, or leave RunStopping out"
            )
        self._follow(possible[0] if possible else None)
        against = f" ({told(hindrances)})" if told(hindrances) else ""
        by = f"{self.monitor} is no better {self.patience} times" if possible else "its limits say so"
        rank_zero_info(f"training ends when {by}{against}")

    def _follow(self, name: str | None) -> None:
        self._silent = name is None
        if name is not None:
            self.monitor, self.mode = name, self.figures[name]
            self.min_delta = self._step if self.mode == "max" else -self._step
            self.best_score = torch.tensor(WORST[self.mode])

    def _validate_condition_metric(self, logs: dict[str, Tensor]) -> bool:
        """Return whether there is a figure; at the first validation, go over to one that is there.

        Raises:
            ValueError: If a single figure was asked for, and it is not there.
        """
        if self._silent or self.monitor in logs:
            return not self._silent
        if self.demanded:
            raise ValueError(
                f"training was to end by {self.monitor}, which this validation did not measure. It measured "
                f"{sorted(logs)}: monitor one of these, or leave RunStopping out"
            )
        before, there = self.monitor, [name for name in self.figures if name in logs]
        self._follow(there[0] if there else None)
        by = f"{self.monitor} is no better" if there else "its limits say so"
        rank_zero_warn(f"{before} was not measured: training ends when {by}")
        return bool(there)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this: also the figure."""
        return {**super().state_dict(), "monitor": None if self._silent else self.monitor}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from a checkpoint, by the same figure."""
        before = state_dict.get("monitor", self.monitor)
        if before not in self.figures:
            return  # of another figure: begin to count
        self._follow(before)
        super().load_state_dict(state_dict)
