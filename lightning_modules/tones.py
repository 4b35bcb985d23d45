"""The tones in which an image tower sees an image: as they are, equalised, or both."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Tones = Literal["plain", "equalised", "both", "random"]
"""``plain``: as the image is. ``equalised``: its histogram made flat, so that exposure, windowing and every
other curve that rises leave no trace. ``both``: two channels, plain and equalised. ``random``: in training
either, of each image at random, and of its twin the same; in evaluation equalised."""

LEVELS = 256

EQUALISED = "equalised"
"""Key of a batch in training: which of its images are seen equalised, ``(batch,)`` bool, where that has been
drawn already (`ImageEncoder.with_tones`)."""


def check_tones(owner: object, tones: str) -> None:
    """Refuse tones that there are not.

    Raises:
        ValueError: If they are none of `Tones`.
    """
    if tones not in get_args(Tones):
        raise ValueError(
            f"{type(owner).__name__}: tones is {tones!r}: give one of {', '.join(get_args(Tones))}"
        )


def channels_of(tones: Tones) -> int:
    """Return how many channels a tower takes."""
    return 2 if tones == "both" else 1


def equalised(image: Tensor) -> Tensor:
    """Return images with a flat histogram: each pixel becomes its rank among the pixels of its image.

    Grey is rounded to `LEVELS` levels first, as 8-bit images have, so that counting and one lookup do what
    sorting would. Pixels alike stay alike: they get the mean of their ranks.

    Args:
        image: ``(batch, 1, height, width)`` in [0, 1].

    Returns:
        float32 of the same shape; mean 0, and deviation 1 where many levels are met; 0 if blank.
    """
    levels = (image.float() * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long().flatten(1)
    counts = torch.zeros(levels.shape[0], LEVELS, device=image.device)
    counts = counts.scatter_add(1, levels, torch.ones_like(levels, dtype=counts.dtype))
    ranks = (counts.cumsum(1) - 0.5 * counts) / levels.shape[1] - 0.5
    return (math.sqrt(12) * ranks).gather(1, levels).reshape(image.shape)


def drawn(count: int, device: torch.device) -> Tensor:
    """Toss a coin for each of some images, from torch's own random numbers: ``(count,)`` bool."""
    return torch.rand(count, device=device) < 0.5


def in_tones(image: Tensor, plain: Tensor, tones: Tones, equal: Tensor | None = None) -> Tensor:
    """Return images as a tower takes them.

    Args:
        image: ``(batch, 1, height, width)`` in [0, 1].
        plain: The same, normalised.
        tones: What the tower sees.
        equal: Which of the images ``random`` shows equalised, ``(batch,)`` bool; None for all.

    Returns:
        ``(batch, channel, height, width)``.
    """
    if tones == "plain":
        return plain
    flat = equalised(image).to(plain.dtype)
    if tones == "both":
        return torch.cat([plain, flat], dim=1)
    return flat if equal is None else torch.where(equal[:, None, None, None], flat, plain)


def widen(convolution: nn.Conv2d, channels: int) -> None:
    """Make a convolution over one channel one over several, with the mean of what it said of each.

    Args:
        convolution: Changed in place.
        channels: How many it is to read.
    """
    weight = convolution.weight.detach().expand(-1, channels, -1, -1) / channels
    convolution.weight, convolution.in_channels = nn.Parameter(weight.clone()), channels
