"""Which weights decay, and how the learning rate moves."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

# Parameters that are vectors added to tokens, though some have three dimensions.
_ADDED = ("cls_token", "mask_token", "register_tokens", "position_embeddings")


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into those that decay and those that do not.

    Only what multiplies features decays: kernels of linear maps and convolutions. Norms, biases,
    embeddings, special tokens and scalars (a temperature) do not.

    Args:
        module: The model; frozen parameters are left out.
        weight_decay: Weight decay of the first group.

    Returns:
        Two groups for a torch optimiser, with a ``name`` that LearningRateMonitor shows; empty groups are
        left out.
    """
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    seen: set[int] = set()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            kernel = parameter.ndim >= 2 and not isinstance(owner, nn.Embedding) and name not in _ADDED
            (decayed if kernel else others).append(parameter)
    groups = [
        {"name": "decayed", "params": decayed, "weight_decay": weight_decay},
        {"name": "not_decayed", "params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def total_steps(trainer: Trainer) -> int | float:
    """Count the optimiser steps of a run: infinite, or negative, where it has no end that could be known.

    Args:
        trainer: The trainer, in ``configure_optimizers``.
    """
    steps = trainer.estimated_stepping_batches
    # Counting has set up the training loader, before a checkpoint's word on where it is to go on, and
    # Lightning does that but once: a run resumed within an epoch would begin the epoch's batches anew.
    # Hence forget the loader.
    trainer.fit_loop._combined_loader = None
    return steps


def warmup_cosine(optimizer: Optimizer, warmup: int | float, steps: int | float) -> LambdaLR:
    """Let the learning rate rise linearly from 0, then fall along a half cosine to 0, step by step.

    Args:
        optimizer: Whose learning rates to move.
        warmup: Steps if an int, a share of all steps in [0, 1) if a float.
        steps: Length of the run, see `total_steps`.

    Returns:
        The schedule, to be stepped after every optimiser step.

    Raises:
        ValueError: If the run has no end, or the warm-up is longer than the run.
    """
    from transformers import get_cosine_schedule_with_warmup

    if not 0 <= steps < float("inf"):  # Lightning says -1 for a loader without length
        raise ValueError(
            "the cosine schedule needs to know where training ends: set trainer.max_epochs or "
            "trainer.max_steps (max_time may end it earlier, at a learning rate not yet come down)"
        )
    if isinstance(warmup, float) and not 0 <= warmup < 1:
        raise ValueError(
            f"warmup is {warmup}: give a share of all steps in [0, 1), or a whole number of steps"
        )
    rise = round(warmup * steps) if isinstance(warmup, float) else warmup
    if not 0 <= rise <= steps:
        raise ValueError(
            f"warmup is {rise} steps, training has {steps:g}: give fewer, or a share such as 0.1"
        )
    return get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=rise, num_training_steps=int(steps))
