"""Towers of `transformers` from a directory or hub id, refused where they are not what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from synthesis.model_files import has_tokenizer, model_directory, open_pretrained


def load_tower(name: str, dropout: float, sizes: Mapping[str, tuple[str, Any]]) -> Any:
    """Load a base model without its pooler, in float32.

    Args:
        name: Directory or ``hub:owner/name``, see `synthesis.model_files`.
        dropout: Dropout rate of its blocks, instead of the one it was trained with.
        sizes: What the caller expects: name of our argument → (name in the model's config, value).

    Returns:
        The `transformers` model.

    Raises:
        ValueError: If sizes differ, or the checkpoint lacks weights of the model.
    """
    from transformers import AutoConfig, AutoModel

    directory = model_directory(name)
    config = open_pretrained(AutoConfig, directory)
    found = {argument: getattr(config, key, None) for argument, (key, _) in sizes.items()}
    wrong = [
        f"{argument}: {found[argument]}" for argument, (_, asked) in sizes.items() if found[argument] != asked
    ]
    if wrong:
        asked = ", ".join(f"{argument} {value}" for argument, (_, value) in sizes.items())
        raise ValueError(
            f"checkpoint {name!r} ({config.model_type}) is not of the size asked for ({asked}): "
            f"set {', '.join(wrong)}"
        )
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    model, report = open_pretrained(
        AutoModel, directory, config=config, dtype=torch.float32, output_loading_info=True
    )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:  # transformers would train on from random values, with a warning
        raise ValueError(
            f"checkpoint {name!r} lacks {len(missing)} weights of a {type(model).__name__}, the first "
            f"{missing[0]!r}: is it the directory of another kind of model?"
        )
    pooler = getattr(model, "pooler", None)
    if pooler is not None and list(pooler.parameters()):
        model.pooler = None  # ours pool otherwise, and DDP refuses parameters without gradient
    return model


def make_grey(vit: Any) -> None:
    """Make a vision transformer for colour images one for grey images with the same output.

    A grey image repeated over the channels meets the sum of the kernel's channels; so the kernel is summed
    once.

    Args:
        vit: A `transformers` ViT or DINOv2 model; changed in place.
    """
    embedding = vit.embeddings.patch_embeddings
    colour = embedding.projection
    grey = nn.Conv2d(1, colour.out_channels, colour.kernel_size, colour.stride, bias=colour.bias is not None)
    with torch.no_grad():
        grey.weight.copy_(colour.weight.sum(1, keepdim=True))
        if grey.bias is not None and colour.bias is not None:
            grey.bias.copy_(colour.bias)
    embedding.projection = grey
    embedding.num_channels = vit.config.num_channels = 1


def resize_positions(vit: Any, image_size: int, patch_size: int) -> None:
    """Interpolate position embeddings to another image size, once.

    Args:
        vit: A `transformers` ViT or DINOv2 model; changed in place.
        image_size: New side of the image, px.
        patch_size: Side of a patch, px.
    """
    embeddings = vit.embeddings
    tokens = embeddings.position_embeddings.new_empty(
        1, (image_size // patch_size) ** 2 + 1, vit.config.hidden_size
    )
    with torch.no_grad():
        positions = embeddings.interpolate_pos_encoding(tokens, image_size, image_size).clone()
    embeddings.position_embeddings = nn.Parameter(positions)
    embeddings.image_size = embeddings.patch_embeddings.image_size = (image_size, image_size)
    embeddings.patch_embeddings.num_patches = positions.shape[1] - 1
    vit.config.image_size = image_size


def tokenizer_of(name: str) -> Any | None:
    """Load the tokenizer that lies with a checkpoint.

    Args:
        name: Directory or ``hub:owner/name``.

    Returns:
        The tokenizer, or None if there is none.
    """
    from transformers import AutoTokenizer

    directory = model_directory(name, needs=["config"])
    return open_pretrained(AutoTokenizer, directory) if has_tokenizer(directory) else None
