"""Towers that `transformers` can express itself: a plain ViT and a plain BERT, with our weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.exported.heads import last_weight
from lightning_modules.pretrained import make_grey
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
        and encoder.tones == "plain"
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


def read_plain_vit(vit: ViTModel, projection: Tensor, mean: float, std: float) -> ViTEncoder:
    """Return the tower that `plain_vit` was made of.

    Raises:
        ValueError: If its pooler is not the one that `plain_vit` writes: another program's model.
    """
    _require_pooler(vit, 1.0)
    config = vit.config
    encoder = ViTEncoder(
        image_size=config.image_size,
        patch_size=config.patch_size,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        pooling="cls",
        mean=mean,
        std=std,
        projection_dim=len(projection),
    )
    make_grey(vit)
    encoder.replace_tower(vit)
    last_weight(encoder.projection).data.copy_(projection)
    return encoder


def read_plain_bert(bert: BertModel, projection: Tensor) -> BertEncoder:
    """Return the tower that `plain_bert` was made of.

    Raises:
        ValueError: If its pooler is not the one that `plain_bert` writes: another program's model.
    """
    _require_pooler(bert, _SMALL)
    config = bert.config
    encoder = BertEncoder(
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        max_length=config.max_position_embeddings,
        pooling="cls",
        projection_dim=len(projection),
    )
    encoder.replace_tower(bert)
    last_weight(encoder.projection).data.copy_(projection * _SMALL)
    return encoder


def _require_pooler(tower: Any, scale: float) -> None:
    wanted = _pooler(tower.config.hidden_size, scale)
    state = tower.state_dict()
    if not all(name in state and torch.equal(state[name], value) for name, value in wanted.items()):
        raise ValueError(
            f"this {type(tower).__name__} pools in a way of its own: it was not written by `make export`; "
            "give its directory to the tower's `pretrained` instead"
        )


def _pooler(width: int, scale: float) -> dict[str, Tensor]:
    return {"pooler.dense.weight": scale * torch.eye(width), "pooler.dense.bias": torch.zeros(width)}
