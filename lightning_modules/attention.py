"""Which implementation of attention a tower uses."""

from __future__ import annotations

from typing import Any

import torch

from lightning_modules.length_groups import grouped_attention

GROUPED = "grouped_by_length"
"""Name of `grouped_attention` among the implementations of `transformers`."""


def choose_attention(tower: Any, device: torch.device) -> None:
    """Use fused attention, except under bfloat16 autocast on a CPU.

    There PyTorch's fused backward costs a third of a step at the few dozen tokens of our towers; plain matrix
    products make a step 1.4 to 1.8 times as fast (torch 2.13, AVX512-BF16, 32 to 128 tokens).

    Args:
        tower: A `transformers` model; changed in place where need be.
        device: Where it is about to run.
    """
    plain = device.type == "cpu" and torch.is_autocast_enabled("cpu")
    wanted = "eager" if plain else "sdpa"
    use_attention(tower, wanted)


def use_attention(tower: Any, name: str) -> None:
    """Let a tower use an implementation of attention.

    Args:
        tower: A `transformers` model; changed in place where need be.
        name: One that `transformers` knows, or `GROUPED`.
    """
    if tower.config._attn_implementation == name:
        return
    if name == GROUPED:
        from transformers import AttentionInterface

        AttentionInterface.register(GROUPED, grouped_attention)
    tower.set_attn_implementation(name)
