"""Writing a trained dual encoder as a directory that `transformers` reads."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    CLIPImageProcessorPil,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)
from transformers.image_utils import PILImageResampling

from lightning_modules.adaptation import merge_additions
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.encoders import Encoder, ImageEncoder
from lightning_modules.exported.heads import last_weight
from lightning_modules.exported.image_tower import image_tower_config
from lightning_modules.exported.plain_towers import is_plain_bert, is_plain_vit, plain_bert, plain_vit
from lightning_modules.exported.text_tower import text_tower_config
from lightning_modules.vit_encoder import ViTEncoder
from synthesis.checksums import CHECKSUMS
from synthesis.model_files import model_directory, open_pretrained

TOLERANCE = 1e-5
"""Largest difference of a feature, a component of a unit vector, between model and directory."""

HALF_TOLERANCE = 5e-3
"""The same where the weights are stored in 16 bits."""

_Tower = tuple[Any, dict[str, Tensor], Tensor]


def export(model: DualEncoder, directory: str | Path, half: bool = False) -> VisionTextDualEncoderModel:
    """Write a `VisionTextDualEncoderModel` with its processor, read it back and compare its features.

    A tower that `transformers` can express becomes a plain `ViTModel` (no stem, ``pooling: cls``, fixed
    ``mean`` and ``std``, linear projection) or `BertModel` (``pooling: cls``, linear projection). Any other
    becomes an `ImageTower` or a `TextTower`, which load wherever this package is imported; no remote code.
    LoRA is merged into the weights.

    Args:
        model: A trained model with its tokenizer, as from a checkpoint.
        directory: Where it goes; created, or written over.
        half: Whether to store the weights in 16 bits, half the size; they are read as 32 bits again.

    Returns:
        The model as read back.

    Raises:
        ValueError: If a tower is of a class that cannot be exported, or there is no tokenizer.
        RuntimeError: If the features of what was written differ by more than `TOLERANCE` (`HALF_TOLERANCE`).
    """
    image, text = model.image_encoder, model.text_encoder
    if not hasattr(image, "tower") or not isinstance(text, BertEncoder):
        raise ValueError(
            f"cannot export {type(image).__name__} and {type(text).__name__}: a ViTEncoder, ResNetEncoder "
            "or ConvNeXtEncoder and a BertEncoder can be; write a PreTrainedModel for the other as in "
            "lightning_modules/exported/image_tower.py"
        )
    if model.tokenizer is None:
        raise ValueError(
            "the model has no tokenizer to export: load it from the checkpoint of a training run"
        )
    image, text = copy.deepcopy(image), copy.deepcopy(text)
    merge_additions(image)
    merge_additions(text)
    exported = _assemble(_image_tower(image), _text_tower(text), -math.log(model.temperature))
    Path(directory, CHECKSUMS).unlink(missing_ok=True)  # of what is written over
    weights = exported.state_dict()
    stored = {name: value.half() if half else value for name, value in weights.items()}
    exported.save_pretrained(directory, state_dict=stored)
    _processor(model, image, text).save_pretrained(directory)
    for file in Path(directory).iterdir():
        file.chmod(0o644)  # safetensors leaves its own for the owner alone
    read = open_pretrained(VisionTextDualEncoderModel, model_directory(directory)).eval()
    difference = largest_difference(model, read)
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    if not difference <= tolerance:
        raise RuntimeError(
            f"{directory}: its features differ from the model's by {difference:.1e}, more than "
            f"{tolerance:.0e}; do not use it, and report this with the run's config.yaml"
        )
    return read


def needs_this_package(exported: VisionTextDualEncoderModel) -> list[str]:
    """Return the kinds of tower that load only where this package is imported; none if all are plain."""
    kinds = [exported.config.vision_config.model_type, exported.config.text_config.model_type]
    return [kind for kind in kinds if kind.startswith("synvlp")]


@torch.no_grad()
def largest_difference(model: DualEncoder, exported: VisionTextDualEncoderModel) -> float:
    """Compare the features of random images and texts.

    Args:
        model: The model, with its tokenizer.
        exported: What was made of it.

    Returns:
        The largest difference of any component of the unit vectors; NaN if one is.
    """
    assert model.tokenizer is not None
    side, rng = model.image_encoder.image_size, torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, side, side, generator=rng)
    texts = ["small left pleural effusion", "no pneumothorax", "the heart is enlarged. " * 9]
    encoder = model.image_encoder
    normalised = images
    plain = isinstance(encoder, ViTEncoder) and is_plain_vit(encoder)
    if plain and encoder.mean is not None and encoder.std is not None:
        normalised = (images - encoder.mean) / encoder.std
    most = min(model.tokenizer.model_max_length, model.text_encoder.max_length)
    tokens = model.tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
    found = exported.get_image_features(pixel_values=normalised.expand(-1, 3, -1, -1)).pooler_output
    found_texts = exported.get_text_features(**tokens).pooler_output
    pairs = ((found, model.encode_image(images)), (found_texts, model.encode_text(texts)))
    apart = [(torch.nn.functional.normalize(a, dim=-1) - b.to(a.device)).abs().max() for a, b in pairs]
    return float(torch.stack(apart).max())


def _assemble(image: _Tower, text: _Tower, log_scale: float) -> VisionTextDualEncoderModel:
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        image[0], text[0], projection_dim=len(image[2]), logit_scale_init_value=log_scale
    )
    exported = VisionTextDualEncoderModel(config).eval()
    exported.vision_model.load_state_dict(image[1])
    exported.text_model.load_state_dict(text[1])
    with torch.no_grad():
        exported.visual_projection.weight.copy_(image[2])
        exported.text_projection.weight.copy_(text[2])
        exported.logit_scale.fill_(log_scale)
    return exported


def _image_tower(encoder: ImageEncoder) -> _Tower:
    if isinstance(encoder, ViTEncoder) and is_plain_vit(encoder):
        return plain_vit(encoder)
    return image_tower_config(encoder), _hidden_state(encoder), last_weight(encoder.projection)


def _text_tower(encoder: BertEncoder) -> _Tower:
    if is_plain_bert(encoder):
        return plain_bert(encoder)
    return text_tower_config(encoder), _hidden_state(encoder), last_weight(encoder.projection)


def _hidden_state(encoder: Encoder) -> dict[str, Tensor]:
    """Return the weights of an encoder under their names in a tower, without the last of its projection."""
    last = "projection.weight" if isinstance(encoder.projection, torch.nn.Linear) else "projection.2.weight"
    return {f"encoder.{name}": value for name, value in encoder.state_dict().items() if name != last}


def _processor(model: DualEncoder, image: ImageEncoder, text: BertEncoder) -> VisionTextDualEncoderProcessor:
    """Return what turns a picture and texts into the towers' input: the geometry of the training data."""
    plain = isinstance(image, ViTEncoder) and is_plain_vit(image)
    images = CLIPImageProcessorPil(
        do_resize=True,
        size={"shortest_edge": image.image_size},
        resample=PILImageResampling.BILINEAR,
        do_center_crop=True,
        crop_size={"height": image.image_size, "width": image.image_size},
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=plain,
        image_mean=[image.mean] * 3 if plain else None,
        image_std=[image.std] * 3 if plain else None,
        do_convert_rgb=True,
    )
    assert model.tokenizer is not None
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(model.tokenizer.backend_tokenizer.to_str()),
        model_max_length=min(model.tokenizer.model_max_length, text.max_length),
        model_input_names=["input_ids", "attention_mask"],
        **model.tokenizer.special_tokens_map,
    )
    return VisionTextDualEncoderProcessor(images, tokenizer)
