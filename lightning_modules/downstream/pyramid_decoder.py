"""A light feature-pyramid decoder: from a tower's maps of several resolutions to one map a class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.downstream.feature_pyramid import FeaturePyramid


class PyramidDecoder(nn.Module):
    """A `FeaturePyramid`, and the image itself.

    The finest level is interpolated to the image, and a convolution over the image gives the finest detail.

    Args:
        widths: Channels of the maps, from the finest to the coarsest.
        classes: Maps to return.
        channels: Channels at full resolution; the pyramid has twice as many.
    """

    def __init__(self, widths: Sequence[int], classes: int, channels: int = 16) -> None:
        super().__init__()
        self.pyramid = FeaturePyramid(widths, 2 * channels)
        self.finest = nn.Conv2d(1, channels, 3, padding=1)
        self.out = nn.Conv2d(3 * channels, classes, 1)
        nn.init.constant_(self.out.bias, -3.0)  # type: ignore[arg-type]  # most pixels belong to no finding

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return logits ``(batch, class, height, width)``.

        Args:
            image: ``(batch, 1, height, width)``.
            maps: ``(batch, width, rows, columns)`` each, from the finest to the coarsest.
        """
        coarse = self.pyramid(maps)
        # Interpolation and a convolution of single pixels may change places: a map a class costs less.
        of_pyramid, of_finest = self.out.weight.split((coarse.shape[1], self.finest.out_channels), dim=1)
        drawn = F.conv2d(coarse, of_pyramid)
        drawn = F.interpolate(drawn, image.shape[2:], mode="bilinear", align_corners=False)
        return drawn + F.conv2d(F.relu(self.finest(image)), of_finest, self.out.bias)
