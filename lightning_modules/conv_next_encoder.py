"""An image tower: ConvNeXt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_modules.map_encoder import MapEncoder


class ConvNeXtEncoder(MapEncoder):
    """A ConvNeXt of `transformers` (Liu et al. 2022, arXiv 2201.03545), by default ConvNeXt-T.

    Without BatchNorm: no sample depends on its batch. Its last norm is applied to each place, so that patches
    and pooled features lie in one space.

    Args:
        image_size: Side of the square images, px; a multiple of 32.
        width: Channels of the last stage; each stage before has half as many. 768 for
            ConvNeXt-T, 1024 for -B.
        depths: Blocks of each stage: 3, 3, 9, 3 for ConvNeXt-T.
        **kwargs: See `MapEncoder`.
    """

    def __init__(
        self, image_size: int = 224, width: int = 768, depths: Sequence[int] = (3, 3, 9, 3), **kwargs: Any
    ) -> None:
        super().__init__(image_size, width, depths, **kwargs)

    def configured(self) -> Any:
        """See `MapEncoder.configured`."""
        from transformers import ConvNextConfig, ConvNextModel

        config = ConvNextConfig(num_channels=self.channels, hidden_sizes=self.widths, depths=self.depths)
        return ConvNextModel(config)

    def first_convolution(self, tower: Any) -> tuple[nn.Module, str]:
        """See `MapEncoder.first_convolution`."""
        return tower.embeddings, "patch_embeddings"

    def tokens(self, places: Tensor) -> Tensor:
        """See `MapEncoder.tokens`: normalised."""
        normalised: Tensor = self.tower.layernorm(places)
        return normalised
