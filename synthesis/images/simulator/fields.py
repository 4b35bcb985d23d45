"""Shapes over a picture: smooth steps, bumps and thresholds of maps, from which organs and findings are made.

Each costs as few passes over the map as it can, and in its own memory: at 128 px a pass that stays in the
cache takes two microseconds, one that makes a bool and multiplies by it twenty.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def step(value: Tensor, width: float) -> Tensor:
    """Return a smooth step from 0 (value far below 0) to 1, `width` wide; down where width < 0."""
    return (value * (4.0 / width)).sigmoid_()


def rise(value: Tensor, at: float, scale: float) -> Tensor:
    """Return the logistic function of (value - at) / scale: from 0 to 1, or down where scale < 0."""
    return (value - at).mul_(1 / scale).sigmoid_()


def hump(value: Tensor, width: float) -> Tensor:
    """Return a Gaussian bump of standard deviation `width` about 0."""
    return (value * value).mul_(-0.5 / math.log(2) / width**2).exp2_()  # of 2: a CPU takes half the time of e


def above(value: Tensor, floor: Tensor | float) -> Tensor:
    """Return 1 where a map is above a floor, else 0."""
    return torch.gt(value, floor, out=torch.empty_like(value))


def sphere(offset_squared: Tensor, radius: Tensor | float) -> Tensor:
    """Return the path through a cylinder or ball at a squared distance from its axis."""
    return (radius * radius - offset_squared).relu_().sqrt_().mul_(2)


def products(left: Tensor, maps: Tensor, right: Tensor) -> Tensor:
    """Return left @ map @ right of every map of a batch (batch, …, row, column).

    One by one: a product of many may add up in another order, to another last bit.
    """
    made = maps.new_empty((*maps.shape[:-2], left.shape[0], right.shape[1]))
    for one, place in zip(maps, made, strict=True):
        torch.matmul(left @ one, right, out=place)
    return made
