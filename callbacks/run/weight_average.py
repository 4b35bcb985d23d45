"""An average of the weights that is good after any number of steps."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WeightAverage(WeightAveraging):
    """Lightning's averaging of weights, with an exponential moving average that warms up.

    After n updates the average keeps the share min(`decay`, (1 + n) / (10 + n)) of itself, as that of
    `diffusers` does. With a constant decay (Lightning's EMAWeightAveraging) a run of a few hundred steps
    would export mostly the weights that it began with. What is validated, saved and exported is the average.

    Args:
        decay: Share of the average that stays in the long run, in [0, 1).
        **kwargs: Those of `lightning.pytorch.callbacks.WeightAveraging`.

    Raises:
        ValueError: If the decay is no such share.
    """

    def __init__(self, decay: float = 0.999, **kwargs: Any) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: give a share in [0, 1)")

        def average(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
            share = min(decay, (1 + int(updates)) / (10 + int(updates)))
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, 1 - share)
            else:
                torch._foreach_copy_(averaged, current)

        super().__init__(multi_avg_fn=torch.no_grad()(average), **kwargs)
