"""Our image tower as a model of `transformers`, for what its own ViT cannot express."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from datamodules.batch import IMAGE
from lightning_modules.exported.heads import hidden_part, hidden_width
from lightning_modules.vit_encoder import ViTEncoder


class ImageTowerConfig(PreTrainedConfig):
    """What an `ImageTower` is built from.

    Args:
        encoder: Arguments of the `ViTEncoder`, without `pretrained`.
        tower: Configuration of its transformer, as `to_dict` writes it.
        hidden_size: Width of the pooled output.
        **kwargs: See `transformers.PreTrainedConfig`.
    """

    model_type = "synvlp_image_tower"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        tower: dict[str, Any] | None = None,
        hidden_size: int = 0,
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder or {}
        self.tower = tower or {}
        self.hidden_size = hidden_size
        super().__init__(**kwargs)


class ImageTower(PreTrainedModel):
    """A `ViTEncoder` without the last layer of its projection.

    Unlike a plain ViT it may have a convolutional stem, pool over places and standardise each image by
    itself.

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
        self.encoder = ViTEncoder(**config.encoder)
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


def image_tower_config(encoder: ViTEncoder) -> ImageTowerConfig:
    """Return what a tower like this one is built from."""
    vit = encoder.vit.config
    arguments = {
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "width": encoder.width,
        "layers": vit.num_hidden_layers,
        "heads": vit.num_attention_heads,
        "stem_channels": None if encoder.stem_channels is None else list(encoder.stem_channels),
        "pooling": encoder.pooling,
        "mean": encoder.mean,
        "std": encoder.std,
        "projection_dim": encoder.projection_dim,
    }
    hidden = hidden_width(encoder.projection)
    arguments["projection_hidden"] = hidden
    return ImageTowerConfig(arguments, vit.to_dict(), hidden or encoder.width)


AutoConfig.register(ImageTowerConfig.model_type, ImageTowerConfig, exist_ok=True)
AutoModel.register(ImageTowerConfig, ImageTower, exist_ok=True)
