"""An image tower: ResNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from lightning_modules.map_encoder import MapEncoder


class ResNetEncoder(MapEncoder):
    """A ResNet of `transformers` (He et al. 2016, arXiv 1512.03385), by default ResNet-50.

    The tower of GLoRIA, ConVIRT, MedCLIP and BioViL. Its BatchNorm makes a sample depend on the batch in
    training; over several ranks set ``trainer.sync_batchnorm``.

    Args:
        image_size: Side of the square images, px; a multiple of 32.
        width: Channels of the last stage; each stage before has half as many. 2048 for ResNet-50, 512 for
            ResNet-18.
        depths: Blocks of each stage: 3, 4, 6, 3 for ResNet-50 and -34; 2, 2, 2, 2 for ResNet-18.
        block: ``bottleneck`` (ResNet-50 and deeper) or ``basic`` (ResNet-18 and -34).
        **kwargs: See `MapEncoder`.
    """

    def __init__(
        self,
        image_size: int = 224,
        width: int = 2048,
        depths: Sequence[int] = (3, 4, 6, 3),
        block: Literal["bottleneck", "basic"] = "bottleneck",
        **kwargs: Any,
    ) -> None:
        self.block = block  # first: `configured` reads it
        super().__init__(image_size, width, depths, **kwargs)

    def configured(self) -> Any:
        """See `MapEncoder.configured`."""
        from transformers import ResNetConfig, ResNetModel

        return ResNetModel(
            ResNetConfig(
                num_channels=self.channels,
                embedding_size=self.widths[0] // (4 if self.block == "bottleneck" else 1),
                hidden_sizes=self.widths,
                depths=self.depths,
                layer_type=self.block,
            )
        )

    def first_convolution(self, tower: Any) -> tuple[nn.Module, str]:
        """See `MapEncoder.first_convolution`."""
        return tower.embedder.embedder, "convolution"

    def exported_arguments(self) -> dict[str, Any]:
        """See `ImageEncoder.exported_arguments`."""
        return {**super().exported_arguments(), "block": self.block}
