"""The top-down path of a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.group_norm import GroupNorm


class FeaturePyramid(nn.Module):
    """Coarse maps are added to finer ones, level by level (Lin et al. 2017, FPN, arXiv 1612.03144).

    Levels are normalised in groups of channels (GroupNorm). Normalising each channel over the image, as
    InstanceNorm does, would wipe out what is the same all over it: that there is nothing to be found.

    Args:
        widths: Channels of the maps, from the finest to the coarsest.
        channels: Channels of every level.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.merge = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                GroupNorm(gcd(8, channels), channels),
                nn.ReLU(inplace=True),
            )
            for _ in widths
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the finest level ``(batch, channels, rows, columns)``.

        Args:
            maps: ``(batch, width, rows, columns)`` each, from the finest to the coarsest.
        """
        merged: Tensor | None = None
        levels = list(zip(self.lateral, self.merge, maps, strict=True))
        for lateral, merge, found in reversed(levels):
            level = lateral(found)
            if merged is not None:
                level = level + F.interpolate(merged, level.shape[2:], mode="bilinear", align_corners=False)
            merged = merge(level)
        assert merged is not None, "there is a map"
        return merged
