"""Our image tower as a model of `transformers`, for what its own ViT cannot express."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

import lightning_modules
from datamodules.batch import IMAGE
from lightning_modules.encoders import ImageEncoder
from lightning_modules.exported.heads import hidden_part, hidden_width


class ImageTowerConfig(PreTrainedConfig):
    """What an `ImageTower` is built from.

    Args:
        encoder: Arguments of the encoder, without `pretrained`.
        tower: Configuration of its transformer, as `to_dict` writes it.
        hidden_size: Width of the pooled output.
        kind: Class of the encoder, one of `lightning_modules`.
        **kwargs: See `transformers.PreTrainedConfig`.
    """

    model_type = "synvlp_image_tower"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        tower: dict[str, Any] | None = None,
        hidden_size: int = 0,
        kind: str = "ViTEncoder",
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder or {}
        self.tower = tower or {}
        self.hidden_size = hidden_size
        self.kind = kind
        super().__init__(**kwargs)


class ImageTower(PreTrainedModel):
    """An image encoder without the last layer of its projection.

    It may be convolutional, have a convolutional stem, pool over places and standardise each image by itself.

    Args:
        config: What it is built from.
    """

    config_class = ImageTowerConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _supports_sdpa = True

    def __init__(self, config: ImageTowerConfig) -> None:
        super().__init__(config)
        encoder: Any = _encoder_class(config.kind)(**config.encoder)
        self.encoder = encoder
        self.encoder.replace_tower(AutoModel.from_config(AutoConfig.for_model(**config.tower)))
        self.encoder.projection = hidden_part(self.encoder.projection)
        self.post_init()

    def forward(self, pixel_values: Tensor, return_dict: bool = True, **kwargs: Any) -> Any:
        """Encode images.

        Args:
            pixel_values: ``(batch, channel, height, width)`` in [0, 1], one channel or several equal ones.
            return_dict: Whether to return an output object rather than a tuple.
            **kwargs: Taken for the sake of the interface.

        Returns:
            Tokens of the patches, ``(batch, token, dim)``, and pooled features, ``(batch, hidden_size)``.
        """
        encoded = self.encoder({IMAGE: pixel_values.mean(1, keepdim=True)})
        output = BaseModelOutputWithPooling(encoded.local, self.encoder.projection(encoded.pooled))
        return output if return_dict else output.to_tuple()


def image_tower_config(encoder: ImageEncoder) -> ImageTowerConfig:
    """Return what a tower like this one is built from."""
    hidden = hidden_width(encoder.projection)
    arguments = encoder.exported_arguments() | {"projection_hidden": hidden}
    tower: Any = encoder.tower
    return ImageTowerConfig(
        arguments, tower.config.to_dict(), hidden or encoder.width, kind=type(encoder).__name__
    )


def _encoder_class(kind: str) -> type[ImageEncoder]:
    found = getattr(lightning_modules, kind, None)
    if not (isinstance(found, type) and issubclass(found, ImageEncoder)):
        raise ValueError(
            f"the directory holds a {kind!r}, which is no image encoder of lightning_modules: export it again"
        )
    return found


AutoConfig.register(ImageTowerConfig.model_type, ImageTowerConfig, exist_ok=True)
AutoModel.register(ImageTowerConfig, ImageTower, exist_ok=True)
