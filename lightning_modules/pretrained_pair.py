"""Both towers of a contrastive checkpoint: CLIP, SigLIP, or a ViT beside a BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from synthesis.model_files import ModelFilesError, model_directory, open_pretrained

Side = Literal["vision", "text"]

_KNOWN: dict[Side, tuple[str, ...]] = {
    "vision": ("clip_vision_model", "siglip_vision_model", "vit"),
    "text": ("clip_text_model", "siglip_text_model", "bert"),
}


def load_side(name: str, side: Side, width: int, projection_dim: int) -> tuple[Any, nn.Module]:
    """Load one tower of a `CLIPModel`, `SiglipModel` or `VisionTextDualEncoderModel`, in float32.

    Args:
        name: Directory or ``hub:owner/name``, see `synthesis.model_files`.
        side: Which of the two.
        width: Width of its tokens, as the caller expects it.
        projection_dim: Dimension of the shared space, likewise.

    Returns:
        The tower; its projection of pooled features into the shared space, the identity for SigLIP, whose
        towers hold it.

    Raises:
        ValueError: If the directory holds another kind of model, lacks weights, or has other sizes.
    """
    from transformers import AutoConfig, AutoModel

    directory = model_directory(name)
    config = open_pretrained(AutoConfig, directory)
    kind = getattr(getattr(config, f"{side}_config", None), "model_type", None)
    if kind not in _KNOWN[side]:
        what = f"{config.model_type}" + ("" if kind is None else f" with a {side} tower {kind}")
        raise ModelFilesError(
            f"pretrained={name!r} holds a model of type {what}; give the directory of a CLIPModel, a "
            "SiglipModel, or a VisionTextDualEncoderModel of a ViT and a BERT (a tower alone goes to "
            "ViTEncoder or BertEncoder, an encoder of this project to model.init_args.weights)"
        )
    model, report = open_pretrained(AutoModel, directory, dtype=torch.float32, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would train on from random values, with a warning
        raise ModelFilesError(
            f"pretrained={name!r} lacks {len(missing)} weights of a {type(model).__name__}, the first "
            f"{missing[0]!r}: give the directory of a model of that kind"
        )
    model.train()  # from_pretrained leaves it in evaluation
    tower = getattr(model, f"{side}_model")
    projection = getattr(model, "visual_projection" if side == "vision" else "text_projection", nn.Identity())
    found = {"width": tower.config.hidden_size, "projection_dim": _dimension(tower, projection)}
    asked = {"width": width, "projection_dim": projection_dim}
    if found != asked:
        raise ValueError(
            f"the {side} tower of {name!r} is not of the size asked for ({_listed(asked)}): set "
            f"{_listed({key: value for key, value in found.items() if value != asked[key]})}"
        )
    return tower, projection


def _dimension(tower: Any, projection: nn.Module) -> int:
    if isinstance(projection, nn.Linear):
        return projection.out_features
    return int(getattr(tower.config, "projection_size", tower.config.hidden_size))


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {size}" for name, size in sizes.items())
