"""Towers of `transformers` from a directory or hub id, refused where they are not what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from synthesis.model_files import ModelFilesError, has_tokenizer, model_directory, open_pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
            f"{missing[0]!r}: give the directory of a model of that kind"
        )
    pooler = getattr(model, "pooler", None)
    if pooler is not None and list(pooler.parameters()):
        model.pooler = None  # ours pool otherwise, and DDP refuses parameters without gradient
    return model.train()  # from_pretrained leaves it in evaluation: no dropout, no statistics of BatchNorm


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


def require_tokenizer_of(name: str, tokenizer: PreTrainedTokenizerBase, asking: str) -> None:
    """Make sure that the data's tokenizer is the one that lies with a checkpoint, where one does.

    Args:
        name: Directory or ``hub:owner/name``.
        tokenizer: What the data read reports with.
        asking: Class of the tower, for the message.

    Raises:
        ValueError: If it has another vocabulary.
    """
    own = tokenizer_of(name)
    if own is not None and own.get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"{asking}: the data's tokenizer is not that of the checkpoint {name!r}, whose word vectors "
            "would be mixed up: give the data that directory as tokenizer (data.init_args.tokenizer.path)"
        )


def colour_statistics(name: str) -> tuple[Tensor, Tensor]:
    """Return what a checkpoint's image processor subtracts from each channel, and divides it by.

    Args:
        name: Directory or ``hub:owner/name``.

    Returns:
        Means and deviations of three channels, ``(3, 1, 1)`` each; 0 and 1 where it does not normalise.

    Raises:
        ValueError: If no image processor lies there.
    """
    from transformers import AutoImageProcessor

    directory = model_directory(name)
    try:
        processor = open_pretrained(AutoImageProcessor, directory)
    except (OSError, ValueError) as error:
        raise ModelFilesError(
            f"pretrained={name!r} holds no image processor (preprocessor_config.json), which says how its "
            "images are normalised; save the processor there too"
        ) from error
    means, deviations = [0.0] * 3, [1.0] * 3
    if processor.do_normalize:
        means, deviations = processor.image_mean, processor.image_std
    return torch.tensor(means)[:, None, None], torch.tensor(deviations)[:, None, None]
