"""A light feature-pyramid decoder: from a convolutional tower's maps to one map a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PyramidDecoder(nn.Module):
    """The top-down path of a feature pyramid (Lin et al. 2017, arXiv 1612.03144), and the image itself.

    Maps are brought to one width and added up from the coarsest to the finest; the result is interpolated to
    the image, and a convolution over the image gives the finest detail.

    Args:
        widths: Channels of the maps, from the finest to the coarsest.
        classes: Maps to return.
        channels: Channels at full resolution; the pyramid has four times as many.
    """

    def __init__(self, widths: Sequence[int], classes: int, channels: int = 16) -> None:
        super().__init__()
        depth = 4 * channels
        self.lateral = nn.ModuleList(nn.Conv2d(width, depth, 1) for width in widths)
        self.smooth = nn.Conv2d(depth, depth, 3, padding=1)
        self.finest = nn.Conv2d(1, channels, 3, padding=1)
        self.out = nn.Conv2d(depth + channels, classes, 1)
        nn.init.constant_(self.out.bias, -3.0)  # type: ignore[arg-type]  # most pixels belong to no finding

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return logits ``(batch, class, height, width)``.

        Args:
            image: ``(batch, 1, height, width)``.
            maps: ``(batch, width, rows, columns)`` each, from the finest to the coarsest.
        """
        levels = [lateral(found) for lateral, found in zip(self.lateral, maps, strict=True)]
        top = levels[-1]
        for level in reversed(levels[:-1]):
            top = level + F.interpolate(top, level.shape[2:], mode="bilinear", align_corners=False)
        pyramid = F.interpolate(
            self.smooth(F.relu(top)), image.shape[2:], mode="bilinear", align_corners=False
        )
        return self.out(torch.cat([F.relu(pyramid), F.relu(self.finest(image))], 1))
