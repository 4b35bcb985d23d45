"""A light UNETR decoder: from a vision transformer's maps to one map a class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log2

from torch import Tensor, nn


class UnetrDecoder(nn.Module):
    """The decoder of UNETR (Hatamizadeh et al. 2022, arXiv 2103.10504) in two dimensions, of MONAI's blocks.

    Maps of evenly spaced blocks are brought to the resolutions between patch and pixel, the image itself
    gives the finest, and the last map is upsampled past them, twice a stage. (MONAI's UNETR brings a
    transformer of its own; ours is pre-trained, so only its decoder's blocks are used.)

    Args:
        width: Channels of the transformer's maps.
        patch_size: Side of a patch in pixels, a power of 2.
        classes: Maps to return.
        channels: Channels at full resolution; each halving of the resolution doubles them.

    Raises:
        ValueError: If ``patch_size`` is no power of 2 above 1.
    """

    def __init__(self, width: int, patch_size: int, classes: int, channels: int = 16) -> None:
        super().__init__()
        from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock

        self.stages = round(log2(patch_size))
        if 2**self.stages != patch_size or self.stages < 1:
            raise ValueError(f"UnetrDecoder: patch_size {patch_size} is no power of 2 above 1")
        plain = {"kernel_size": 3, "norm_name": "instance", "res_block": True}
        self.finest = UnetrBasicBlock(2, 1, channels, stride=1, **plain)
        self.skips = nn.ModuleList(
            UnetrPrUpBlock(
                2, width, channels * 2**k, self.stages - k - 1, stride=1, upsample_kernel_size=2,
                conv_block=True, **plain,
            )
            for k in range(1, self.stages)
        )  # fmt: skip
        depths = [width, *(channels * 2**k for k in range(self.stages - 1, -1, -1))]
        self.ups = nn.ModuleList(
            UnetrUpBlock(2, deep, shallow, upsample_kernel_size=2, **plain)
            for deep, shallow in pairwise(depths)
        )
        self.out = UnetOutBlock(2, channels, classes)
        nn.init.constant_(self.out.conv.conv.bias, -3.0)  # most pixels belong to no finding

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return logits ``(batch, class, height, width)``.

        Args:
            image: ``(batch, 1, height, width)``.
            maps: One ``(batch, width, rows, columns)`` a block of the transformer.
        """
        skips = [self.finest(image)]
        for k, skip in enumerate(self.skips, 1):
            skips.append(skip(maps[round((len(maps) - 1) * k / self.stages)]))
        decoded = maps[-1]
        for up in self.ups:
            decoded = up(decoded, skips.pop())
        return self.out(decoded)
