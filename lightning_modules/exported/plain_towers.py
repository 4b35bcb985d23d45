"""Towers that `transformers` can express itself: a plain ViT and a plain BERT, with our weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.exported.heads import last_weight
from lightning_modules.vit_encoder import ViTEncoder

# BERT's pooler has a tanh that cannot be taken out. Of numbers this much smaller than the features it is the
# identity (relative error x²/3 · 2⁻²⁴), and a power of two costs no precision.
_SMALL = 2.0**-12


def is_plain_vit(encoder: ViTEncoder) -> bool:
    """Return whether a plain `ViTModel` gives the same features."""
    return (
        isinstance(encoder.vit, ViTModel)
        and encoder.stem_channels is None
        and encoder.pooling == "cls"
        and encoder.mean is not None
        and isinstance(encoder.projection, nn.Linear)
    )


def is_plain_bert(encoder: BertEncoder) -> bool:
    """Return whether a plain `BertModel` gives the same features."""
    plain = isinstance(encoder.bert, BertModel) and isinstance(encoder.projection, nn.Linear)
    return plain and encoder.pooling == "cls"


def plain_vit(encoder: ViTEncoder) -> tuple[ViTConfig, dict[str, Tensor], Tensor]:
    """Return configuration, weights and projection of a `ViTModel` for three channels.

    A grey image comes as three equal channels, so each has a third of the kernel. The pooler is the identity.
    """
    config = ViTConfig(
        **{
            **encoder.vit.config.to_dict(),
            "num_channels": 3,
            "pooler_act": "linear",
            "pooler_output_size": None,
        }
    )
    config.pooler_output_size = config.hidden_size
    weights = dict(encoder.vit.state_dict())
    kernel = "embeddings.patch_embeddings.projection.weight"
    weights[kernel] = weights[kernel].expand(-1, 3, -1, -1) / 3
    weights |= _pooler(encoder.width, 1.0)
    return config, weights, last_weight(encoder.projection)


def plain_bert(encoder: BertEncoder) -> tuple[BertConfig, dict[str, Tensor], Tensor]:
    """Return configuration, weights and projection of a `BertModel` whose pooler is all but the identity."""
    weights = encoder.bert.state_dict() | _pooler(encoder.width, _SMALL)
    return BertConfig(**encoder.bert.config.to_dict()), weights, last_weight(encoder.projection) / _SMALL


def _pooler(width: int, scale: float) -> dict[str, Tensor]:
    return {"pooler.dense.weight": scale * torch.eye(width), "pooler.dense.bias": torch.zeros(width)}
