"""A light UNETR decoder: from a vision transformer's maps to one map a class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, log2

from torch import Tensor, nn
from torch.nn import functional as F


class UnetrDecoder(nn.Module):
    """The decoder of UNETR (Hatamizadeh et al. 2022, arXiv 2103.10504) in two dimensions, of MONAI's blocks.

    Maps of evenly spaced blocks are brought to the resolutions between patch and pixel, the image itself
    gives the finest, and the last map is upsampled past them, twice a stage. (MONAI's UNETR brings a
    transformer of its own; ours is pre-trained, so only its decoder's blocks are used.)

    Each stage doubles the resolution, which suits patches of a power of 2. Maps of others are interpolated to
    the grid of the nearest power, and so is an image that is no multiple of it, and the logits back.

    Args:
        width: Channels of the transformer's maps.
        patch_size: Side of a patch in pixels.
        classes: Maps to return.
        channels: Channels at full resolution; each halving of the resolution doubles them.

    Raises:
        ValueError: If ``patch_size`` is below 2.
    """

    def __init__(self, width: int, patch_size: int, classes: int, channels: int = 16) -> None:
        super().__init__()
        from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock

        if patch_size < 2:
            raise ValueError(f"UnetrDecoder: patch_size {patch_size} needs no decoder: give 2 or more")
        self.stages = round(log2(patch_size))
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
        scale = 2**self.stages
        grid = [ceil(side / scale) for side in image.shape[2:]]
        skips = [self.finest(_resized(image, [side * scale for side in grid]))]
        for k, skip in enumerate(self.skips, 1):
            skips.append(skip(_resized(maps[round((len(maps) - 1) * k / self.stages)], grid)))
        decoded = _resized(maps[-1], grid)
        for up in self.ups:
            decoded = up(decoded, skips.pop())
        return _resized(self.out(decoded), image.shape[2:])


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    if list(x.shape[2:]) == list(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
