"""The body around the lungs, from formulas: torso, shoulders, neck, breasts and arms, cut by the border."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _chord(offset: Tensor, radius: Tensor | float) -> Tensor:
    """Return the path through a cylinder of a radius at an offset from its axis."""
    return 2 * torch.sqrt((radius * radius - offset * offset).clamp(min=0))


def soft_tissue(x: Tensor, y: Tensor, each: Callable[..., Tensor]) -> Tensor:
    """Return the path through the body in mm as if the lungs were water.

    The CT's own body cannot be used: its field of view cuts it off and its arms are raised.

    Args:
        x: Atlas column in mm, (batch, height, width).
        y: Atlas row in mm.
        each: Reads a parameter of every patient as a (batch, 1, 1) tensor.
    """
    width, depth = each("torso", 0), each("torso", 1)
    across = x.abs()
    narrowing = 1 - 0.12 * torch.sigmoid((-70 - y) / 18) + 0.05 * torch.sigmoid((y - 90) / 30)
    flank = (1 - (across / (width * narrowing)) ** 2).clamp(min=1e-8)
    # The chest is deepest below: the heart's level is thinner than the abdomen, the apices thinner still.
    thickness = depth * (0.5 + 0.6 * torch.sigmoid((y - 25) / 60))
    beyond = (across - 50).clamp(min=0)
    muscle = 34 * (1 - torch.exp2(-beyond / 24))  # the trapezius falls off beside the neck
    top = each("shoulder", 0) + muscle + beyond * (each("shoulder", 1) + 0.0008 * beyond)
    torso = thickness * torch.exp2(0.42 * torch.log2(flank)) * torch.sigmoid((y - top) / 7)
    shoulder = 0.6 * depth * torch.sigmoid((y - top) / 5) * torch.sigmoid((-70 - y) / 16)
    shoulder = shoulder * torch.sigmoid((215 - across) / 8)
    neck = _chord(across, 52.0) * 0.9 * torch.sigmoid((-120 - y) / 20)
    total = torch.maximum(torch.maximum(torso, shoulder), neck)
    for part, side in enumerate((x < 0, x >= 0)):
        angle = each("arm_angle", part)
        off = (across - 196) * torch.cos(angle) - (y + 112) * torch.sin(angle)
        arm = _chord(off, each("arm_radius")) * torch.sigmoid((y + 118) / 8)
        total = torch.where(side, torch.maximum(total, arm), total)
    return total + _breasts(across, y, each)


def _breasts(across: Tensor, y: Tensor, each: Callable[..., Tensor]) -> Tensor:
    """Return pendent discs with a sharp lower edge, which is what shows on a radiograph."""
    cx, cy, radius = (each("breast_place", k) for k in range(3))
    below = (y - cy).clamp(min=0) * 1.35 + (y - cy).clamp(max=0) * 0.75
    inside = 1 - ((across - cx) ** 2 + below * below) / radius**2
    return 0.8 * each("breast").clamp(max=42) * inside.clamp(min=0) ** 0.8
