"""A cosine schedule that comes down within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

SETTLED = 0.1
"""Share of the budget before which pace says little: loaders and caches are still starting."""

MARGIN = 1.05
"""How far time has to be ahead of steps until it counts: runs that will just fit in stay as they are."""


class TimedCosine(LambdaLR):
    """Linear warm-up and half a cosine over the steps, or over the time where time will end the run.

    Progress is the share of the steps taken or the share of the budget spent, whichever is larger; so a run
    that will be cut by ``max_time`` ends at a rate of 0 as well. Time counts only once it is ahead of the
    steps by `MARGIN`, after a share `SETTLED` of the budget: while steps are ahead, the rates are those of
    `transformers.get_cosine_schedule_with_warmup`, to the last bit, and a resumed run has the same. Progress
    never goes back.

    Args:
        optimizer: Whose learning rates to move.
        rise: Steps of warm-up.
        steps: Steps of the whole run.
        time_share: Returns which share of the budget is spent; the same on every rank.
    """

    def __init__(self, optimizer: Optimizer, rise: int, steps: int, time_share: Callable[[], float]) -> None:
        self.rise, self.steps, self.time_share = rise, steps, time_share
        self.reached = 0.0
        self.reached_at = -1
        super().__init__(optimizer, self._factor)

    def _factor(self, step: int) -> float:
        if step != self.reached_at:  # asked once for each group of parameters
            share, taken = self.time_share(), float(step)
            if share >= SETTLED and share * self.steps > MARGIN * taken:
                taken = share * self.steps
            self.reached, self.reached_at = min(max(taken, self.reached), float(self.steps)), step
        if self.reached < self.rise:
            return self.reached / float(max(1, self.rise))
        progress = (self.reached - self.rise) / float(max(1, self.steps - self.rise))
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with how far the schedule has come."""
        return {key: value for key, value in super().state_dict().items() if key != "time_share"}


def spent_share(trainer: Trainer) -> Callable[[], float] | None:
    """Return what tells the share of ``max_time`` that training has spent; None without such a limit.

    Args:
        trainer: The trainer, in ``configure_optimizers``. Resumed runs count what they spent before.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    timers = [c for c in callbacks if isinstance(c, Timer) and c.time_remaining() is not None]
    if not timers:
        return None

    def share() -> float:
        elapsed, remaining = timers[0].time_elapsed(), timers[0].time_remaining()
        spent = elapsed / max(1e-9, elapsed + (remaining or 0.0))
        # Clocks differ, and ranks that step at different rates would part.
        return float(trainer.strategy.broadcast(spent)) if trainer.world_size > 1 else spent

    return share
