"""Our text tower as a model of `transformers`, for what its own BERT cannot express."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from datamodules.batch import ATTENTION_MASK, INPUT_IDS
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.exported.heads import hidden_part, hidden_width


class TextTowerConfig(PreTrainedConfig):
    """What a `TextTower` is built from.

    Args:
        encoder: Arguments of the `BertEncoder`, without `pretrained`.
        tower: Configuration of its transformer, as `to_dict` writes it.
        hidden_size: Width of the pooled output.
        **kwargs: See `transformers.PreTrainedConfig`.
    """

    model_type = "synvlp_text_tower"

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


class TextTower(PreTrainedModel):
    """A `BertEncoder` without the last layer of its projection: a BERT that may pool all its tokens.

    Args:
        config: What it is built from.
    """

    config_class = TextTowerConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    input_modalities = ("text",)
    _supports_sdpa = True

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__(config)
        self.encoder = BertEncoder(**config.encoder)
        self.encoder.replace_tower(AutoModel.from_config(AutoConfig.for_model(**config.tower)))
        self.encoder.projection = hidden_part(self.encoder.projection)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Encode texts.

        Args:
            input_ids: Tokens, int64 ``(batch, token)``.
            attention_mask: 1 for tokens, 0 for padding, ``(batch, token)``; None if there is no padding.
            return_dict: Whether to return an output object rather than a tuple.
            **kwargs: Taken for the sake of the interface, and without effect: a report is one segment.

        Returns:
            Its tokens, ``(batch, token, dim)``, and pooled features, ``(batch, hidden_size)``.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        encoded = self.encoder({INPUT_IDS: input_ids, ATTENTION_MASK: mask})
        output = BaseModelOutputWithPooling(encoded.local, self.encoder.projection(encoded.pooled))
        return output if return_dict else output.to_tuple()


def text_tower_config(encoder: BertEncoder) -> TextTowerConfig:
    """Return what a tower like this one is built from."""
    bert = encoder.bert.config
    hidden = hidden_width(encoder.projection)
    arguments = {
        "vocab_size": encoder.vocab_size,
        "width": encoder.width,
        "layers": bert.num_hidden_layers,
        "heads": bert.num_attention_heads,
        "max_length": encoder.max_length,
        "pooling": encoder.pooling,
        "projection_dim": encoder.projection_dim,
        "projection_hidden": hidden,
    }
    return TextTowerConfig(arguments, bert.to_dict(), hidden or encoder.width)


AutoConfig.register(TextTowerConfig.model_type, TextTowerConfig, exist_ok=True)
AutoModel.register(TextTowerConfig, TextTower, exist_ok=True)
