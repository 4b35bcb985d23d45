"""Reading an exported directory back as a dual encoder of this project."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.encoders import ImageEncoder, TextEncoder
from lightning_modules.exported.heads import whole_projection
from lightning_modules.exported.image_tower import ImageTower
from lightning_modules.exported.plain_towers import read_plain_bert, read_plain_vit
from lightning_modules.exported.text_tower import TextTower
from lightning_modules.objectives import InfoNCE
from synthesis.model_files import ModelFilesError, model_directory, open_pretrained


def read_directory(name: str | Path, argument: str = "directory") -> DualEncoder:
    """Return the dual encoder that `export` wrote, with the same features.

    Args:
        name: The directory, one of those shipped (``results/encoders/short``), or ``hub:owner/name``.
        argument: What the caller calls the name, for messages.

    Returns:
        The model in evaluation mode, on the CPU, with its tokenizer, and InfoNCE at the temperature it had.

    Raises:
        ValueError: If the directory is refused (see `synthesis.model_files`), or holds another kind of model.
    """
    directory = model_directory(name, ("config", "weights", "tokenizer"), argument)
    kind = json.loads((directory / "config.json").read_text("utf-8")).get("model_type")
    if kind != VisionTextDualEncoderConfig.model_type:
        raise ModelFilesError(
            f"{argument}={str(name)!r} holds a model of type {kind!r}; give a directory of `make export`"
        )
    found: Any = open_pretrained(VisionTextDualEncoderModel, directory)
    model = DualEncoder(
        _image_encoder(found, directory),
        _text_encoder(found),
        InfoNCE(temperature=math.exp(-float(found.logit_scale.detach()))),
    )
    model.tokenizer = open_pretrained(AutoTokenizer, directory)
    return model.eval()


def _image_encoder(found: Any, directory: Path) -> ImageEncoder:
    tower, projection = found.vision_model, found.visual_projection.weight
    if not isinstance(tower, ImageTower):
        processor = open_pretrained(AutoImageProcessor, directory)
        return read_plain_vit(tower, projection, processor.image_mean[0], processor.image_std[0])
    tower.encoder.projection = whole_projection(tower.encoder.projection, projection)
    return tower.encoder


def _text_encoder(found: Any) -> TextEncoder:
    tower, projection = found.text_model, found.text_projection.weight
    if not isinstance(tower, TextTower):
        return read_plain_bert(tower, projection)
    tower.encoder.projection = whole_projection(tower.encoder.projection, projection)
    return tower.encoder
