"""The body around the lungs, from formulas: torso, shoulders, neck, breasts and arms, cut by the border."""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.images.simulator.fields import above, rise, sphere
from synthesis.images.simulator.patient import ParameterReader


def soft_tissue(
    x: Tensor, y: Tensor, each: ParameterReader, posed: bool = False, breasted: bool = True
) -> Tensor:
    """Return the path through the body in mm as if the lungs were water.

    The CT's own body cannot be used: its field of view cuts it off and its arms are raised.

    Args:
        x: Atlas column in mm, (batch, height, width).
        y: Atlas row in mm.
        each: Reads a parameter of every patient as a (batch, 1, 1) tensor.
        posed: Whether arms may be raised.
        breasted: Whether breasts are there; else they are drawn by themselves.
    """
    width, depth = each("torso", 0), each("torso", 1)
    across = x.abs()
    narrowing = 1 - 0.12 * rise(y, -70, -18) + 0.05 * rise(y, 90, 30)
    flank = (1 - (across / narrowing.mul_(width)).square_()).clamp_(min=1e-8)
    # The chest is deepest below: the heart's level is thinner than the abdomen, the apices thinner still.
    thickness = rise(y, 25, 60).mul_(0.6).add_(0.5).mul_(depth)
    beyond = (across - 50).relu_()
    muscle = 34 * (1 - torch.exp2(beyond * (-1 / 24)))  # the trapezius falls off beside the neck
    top = muscle.add_(each("shoulder", 0)).addcmul_(beyond, (0.0008 * beyond).add_(each("shoulder", 1)))
    below = y - top
    torso = flank.log2_().mul_(0.42).exp2_().mul_(thickness).mul_(rise(below, 0, 7))
    shoulder = rise(below, 0, 5).mul_(rise(y, -70, -16)).mul_(rise(across, 215, -8)).mul_(0.6 * depth)
    neck = sphere(across * across, 52.0).mul_(rise(y, -120, -20)).mul_(0.9)
    total = torch.maximum(torch.maximum(torso, shoulder), neck)
    angle = torch.lerp(each("arm_angle", 0), each("arm_angle", 1), above(x, 0))
    off = torch.cos(angle).mul_(across - 196).addcmul_(torch.sin(angle), y + 112, value=-1)
    arm = sphere(off.square_(), each("arm_radius"))
    shown = rise(y, -118, 8)
    if posed:
        shown = torch.lerp(shown, rise(y, -96, -8), each("arms_raised"))
    total = torch.maximum(total, arm.mul_(shown))
    return total.add_(breasts(across, y, each)) if breasted else total


def breasts(across: Tensor, y: Tensor, each: ParameterReader, roundness: float = 0.8) -> Tensor:
    """Return pendent discs with a sharp lower edge, which is what shows on a radiograph.

    Args:
        across: Distance of every pixel from the midline in mm.
        y: Atlas row in mm.
        each: Reads a parameter of every patient.
        roundness: 0.5 for balls; more for a softer edge.
    """
    cx, cy, radius = (each("breast_place", k) for k in range(3))
    off = y - cy
    below = off.relu().mul_(0.6).add_(off, alpha=0.75)
    inside = (across - cx).square_().add_(below.square_()).mul_(-1 / radius**2).add_(1).clamp_(min=1e-8)
    return inside.log2_().mul_(roundness).exp2_().mul_(0.8 * each("breast").clamp(max=42))
