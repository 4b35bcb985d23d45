"""Early convolutions in place of a vision transformer's patch embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.group_norm import GroupNorm


class ConvolutionalStem(nn.Module):
    """Stages of two 3×3 convolutions, the first of stride 2, then a 1×1 one to the transformer's width.

    Xiao et al. 2021, "Early Convolutions Help Transformers See Better" (arXiv 2106.14881): faster
    convergence and a wider range of good learning rates, which a short budget needs. Instead of their
    BatchNorm maps are normalised in groups of their channels (GroupNorm), so that a sample does not
    depend on its batch, and a batch of one works. The first stage is one 5×5 convolution without
    normalisation: full resolution is where convolutions cost most, and grey levels survive it.

    It stands where ``ViTModel.embeddings.patch_embeddings`` stood, hence the name `projection`, whose dtype
    transformers reads.

    Args:
        channels: Channels of each stage; as many as halve a patch to one pixel (4 for 16
            px).
        width: Width of the tokens.
        patch_size: Side of a patch in pixels, ``2 ** len(channels)``.
        num_channels: Channels of the image.

    Raises:
        ValueError: If the convolutions would not give one token a patch.
    """

    def __init__(self, channels: Sequence[int], width: int, patch_size: int, num_channels: int = 1) -> None:
        super().__init__()
        if 2 ** len(channels) != patch_size:
            raise ValueError(
                f"ViTEncoder: {len(channels)} stem_channels {list(channels)} make patches of "
                f"{2 ** len(channels)} px, not {patch_size}: each halves the image, so give log2(patch_size)"
            )
        first = nn.Conv2d(num_channels, channels[0], kernel_size=5, stride=2, padding=2)
        blocks: list[nn.Module] = [first, nn.ReLU(inplace=True)]
        for before, after in pairwise(channels):
            for width_in, stride in ((before, 2), (after, 1)):
                convolution = nn.Conv2d(width_in, after, kernel_size=3, stride=stride, padding=1, bias=False)
                blocks += [convolution, GroupNorm(gcd(8, after), after), nn.ReLU(inplace=True)]
        # Channels last: a quarter faster on CPU, and what tensor cores want.
        self.blocks = nn.Sequential(*blocks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.projection = nn.Conv2d(channels[-1], width, kernel_size=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Turn images ``(batch, channel, height, width)`` into tokens ``(batch, token, width)``."""
        maps = self.blocks(pixel_values.contiguous(memory_format=torch.channels_last))
        return self.projection(maps).flatten(2).transpose(1, 2)

    @contextmanager
    def stages(self) -> Iterator[list[Tensor]]:
        """Collect the maps after each stage, finest first, of the images that pass meanwhile.

        Yields:
            A list that they are added to: ``(batch, channel, height / 2, width / 2)``, then of half the
            sides.
        """
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            found.append(output)

        # A stage ends with a ReLU: the second module, then every sixth.
        hooks = [self.blocks[i].register_forward_hook(keep) for i in range(1, len(self.blocks), 6)]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()
