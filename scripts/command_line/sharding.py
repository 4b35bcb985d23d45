"""Strategies that split the weights over GPUs, under which runs cannot keep their promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHARDING = ("fsdp", "deepspeed", "modelparallel")
"""How the names of such strategies and of their classes begin, in small letters without underscores."""


def check_strategy(strategy: Any) -> None:
    """Refuse a strategy that splits the weights.

    Evaluations run the towers outside of a step, where a split tower has a part of its weights. Gradients are
    clipped by their norm over all weights, which Lightning refuses under FSDP. Checkpoints are written whole
    or not at all, by a plugin that Lightning passes over there.

    Args:
        strategy: Value of `trainer.strategy`: a name, a class with its arguments, or None.

    Raises:
        ValueError: If it is one; the message says what to give instead.
    """
    path = strategy.get("class_path", "") if isinstance(strategy, Mapping) else strategy
    path = getattr(path, "class_path", path)
    name = str(path).rpartition(".")[2]
    if name.lower().replace("_", "").startswith(_SHARDING):
        raise ValueError(
            f"trainer.strategy={path}: it splits weights over GPUs, but evaluations need the towers whole, "
            "gradients are clipped by their norm over all of them, and checkpoints are whole. Give ddp. "
            "If memory is short, it is that of activations: lower data.init_args.loader.batch_size, or set "
            "model.init_args.encoded_at_once or gradient_checkpointing of the towers"
        )
