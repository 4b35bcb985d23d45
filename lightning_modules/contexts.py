"""Temporary states of a model: evaluating, and drawing from known random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch off dropout, patch dropping and gradients, then restore the mode of every submodule.

    Args:
        model: The model.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def seeded(device: torch.device, *entropy: int) -> Iterator[None]:
    """Let torch draw the same random numbers wherever the entropy is the same.

    Checkpoints do not hold the state of torch's generators. Seeding a fork of them from (seed, rank, step)
    makes dropout and patch dropping the same after a resume, and leaves the streams outside as they were.

    Args:
        device: Where the model runs.
        entropy: Non-negative integers.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
