"""Which weights decay, how the learning rate moves, and how gradients are clipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_modules.timed_cosine import TimedCosine, spent_share

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


TOWERS = ("image_encoder.", "text_encoder.")
"""How the names of pre-trained parameters begin."""

_BLOCKS = (re.compile(r"\.stages\.(\d+)\."), re.compile(r"(?:^|\.)layers?\.(\d+)\."))
"""Blocks of a convolutional tower are its stages, each of several layers."""


def layer_wise_groups(
    module: nn.Module,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float,
    tower_rate: float = 1.0,
) -> list[dict[str, Any]]:
    """Split the trainable parameters by depth, deeper ones learning faster.

    The learning rate of everything after the last transformer block (norm, pooling, heads) is
    ``learning_rate``; each block before, and at last the embeddings, get ``layer_decay`` times that of the
    one after: what pre-training has learnt early is general, and few labels would only spoil it (Clark et al.
    2020, ELECTRA, arXiv 2003.10555; used for ViT by Bao et al. 2022, BEiT, arXiv 2106.08254).

    Args:
        module: A model whose `TOWERS` have blocks named ``stages.<n>``, ``layers.<n>`` or ``layer.<n>``.
            The last blocks of all towers have the same rate.
        learning_rate: Peak rate of what comes after the blocks.
        weight_decay: Of kernels, see `parameter_groups`.
        layer_decay: Factor from a block to the one before it, in (0, 1]; 1 gives all the same rate.
        tower_rate: Further factor of all blocks and the embeddings: a large head from scratch learns at rates
            that would spoil them.

    Returns:
        Groups for a torch optimiser with ``name`` and ``lr``, the deepest last.
    """
    depth = _depths(module)
    top = 1 + max((d for d in depth.values() if d is not None), default=0)
    groups: dict[int, list[dict[str, Any]]] = {}
    for group in parameter_groups(module, weight_decay):
        for parameter in group["params"]:
            level = depth[parameter]
            groups.setdefault(top if level is None else level, []).append({**group, "params": [parameter]})
    found = []
    for level in sorted(groups):
        for name in ("decayed", "not_decayed"):
            some = [group for group in groups[level] if group["name"] == name]
            if some:
                parameters = [parameter for group in some for parameter in group["params"]]
                rate = learning_rate * layer_decay ** (top - level) * (tower_rate if level < top else 1)
                found.append({**some[0], "name": f"depth_{level}_{name}", "params": parameters, "lr": rate})
    return found


def _depths(module: nn.Module) -> dict[nn.Parameter, int | None]:
    """Return the depth of each parameter, so that the last blocks of all towers are equally deep.

    None for what comes after the blocks, and for what is no part of a tower.
    """
    depth: dict[nn.Parameter, int | None] = {}
    found = {
        prefix: {p: _depth(n) for n, p in module.named_parameters() if n.startswith(prefix)}
        for prefix in TOWERS
    }
    tops = {prefix: max((d for d in of.values() if d is not None), default=0) for prefix, of in found.items()}
    for prefix, of in found.items():
        shift = max(tops.values()) - tops[prefix]
        depth |= {p: None if d is None else d + shift for p, d in of.items()}
    return {parameter: depth.get(parameter) for parameter in module.parameters()}


def _depth(name: str) -> int | None:
    """0 for a tower's embeddings, from 1 for its blocks, None for what comes after them."""
    if ".embeddings." in f".{name}" or ".embedder." in name:
        return 0
    block = next((found for pattern in _BLOCKS if (found := pattern.search(name))), None)
    return None if block is None else int(block.group(1)) + 1


def scales_gradients(trainer: Trainer) -> bool:
    """Say whether gradients are multiplied by a factor until the optimiser steps, as in ``16-mixed``."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None


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


def warmup_cosine(
    optimizer: Optimizer,
    warmup: int | float,
    steps: int | float,
    time_share: Callable[[], float] | None = None,
) -> LambdaLR:
    """Let the learning rate rise linearly from 0, then fall along a half cosine to 0, step by step.

    Args:
        optimizer: Whose learning rates to move.
        warmup: Steps if an int, a share of all steps in [0, 1) if a float.
        steps: Length of the run, see `total_steps`.
        time_share: Returns the share of a budget of time that is spent, see `spent_share`: where that will
            end the run, the rate comes down with it (`TimedCosine`). None for no budget.

    Returns:
        The schedule, to be stepped after every optimiser step.

    Raises:
        ValueError: If the run has no end, or the warm-up is longer than the run.
    """
    from transformers import get_cosine_schedule_with_warmup

    if not 0 <= steps < float("inf"):  # Lightning says -1 for a loader without length
        raise ValueError(
            "the cosine schedule needs to know where training ends: set trainer.max_epochs or "
            "trainer.max_steps (max_time may end it earlier)"
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
    if time_share is not None:
        return TimedCosine(optimizer, rise, int(steps), time_share)
    return get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=rise, num_training_steps=int(steps))


def with_cosine(optimizer: Optimizer, warmup: int | float, trainer: Trainer) -> OptimizerLRScheduler:
    """Return an optimiser with its schedule, stepped with it, as ``configure_optimizers`` does.

    Args:
        optimizer: The optimiser.
        warmup: See `warmup_cosine`.
        trainer: The trainer, whose steps or time bring the learning rate down to 0.

    Raises:
        ValueError: See `warmup_cosine`.
    """
    schedule = warmup_cosine(optimizer, warmup, total_steps(trainer), spent_share(trainer))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def clip_gradients(
    module: LightningModule, optimizer: Optimizer, value: int | float | None, algorithm: str | None
) -> None:
    """Clip; in bfloat16 with a fused optimiser too, which Lightning refuses though nothing is scaled.

    Args:
        module: The model that is trained.
        optimizer: Its optimiser.
        value: Largest norm or value; None or 0 for none.
        algorithm: ``norm`` (as None) or ``value``.
    """
    plugin = module.trainer.precision_plugin
    if type(plugin) is MixedPrecision and not scales_gradients(module.trainer):
        kind = GradClipAlgorithmType(algorithm or GradClipAlgorithmType.NORM)
        Precision.clip_gradients(plugin, optimizer, value or 0, kind)
    else:
        module.clip_gradients(optimizer, value, algorithm)
