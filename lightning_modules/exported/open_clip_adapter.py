"""The interface of open_clip, which evaluators of the CLIP_benchmark kind call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoProcessor, VisionTextDualEncoderModel

from synthesis.model_files import model_directory, open_pretrained

Transform = Callable[[Any], Tensor]
Tokenize = Callable[[str | Sequence[str]], Tensor]


class OpenClipAdapter(nn.Module):
    """An exported model with open_clip's methods.

    Args:
        model: What `export` wrote and `from_pretrained` read.
        padding: Token that fills up short texts.

    Attributes:
        logit_scale: Logarithm of what similarities are multiplied by.
    """

    def __init__(self, model: VisionTextDualEncoderModel, padding: int) -> None:
        super().__init__()
        self.model = model
        self.padding = padding
        self.logit_scale = model.logit_scale

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Encode images as the transform gives them: ``(batch, projection)``."""
        features = self.model.get_image_features(pixel_values=image).pooler_output
        return F.normalize(features, dim=-1) if normalize else features

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Encode token numbers as the tokenizer gives them: ``(batch, projection)``."""
        mask = (text != self.padding).long()
        features = self.model.get_text_features(input_ids=text, attention_mask=mask).pooler_output
        return F.normalize(features, dim=-1) if normalize else features

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features of images and texts, of length 1, and what their similarities are multiplied by."""
        scale = self.logit_scale.exp()
        return self.encode_image(image, normalize=True), self.encode_text(text, normalize=True), scale


def load_open_clip(directory: str | Path) -> tuple[OpenClipAdapter, Transform, Tokenize]:
    """Read an exported model as ``open_clip.create_model_and_transforms`` would give it.

    Args:
        directory: What `export` wrote.

    Returns:
        The model in evaluation mode; the transform of a PIL image to a tensor ``(3, height, width)``; the
        tokenizer of a text or several to token numbers, int64 ``(batch, token)``, of the same length always.
    """
    checked = model_directory(directory, ("config", "weights", "tokenizer"), argument="directory")
    processor = open_pretrained(AutoProcessor, checked)
    model = open_pretrained(VisionTextDualEncoderModel, checked).eval()

    def transform(image: Any) -> Tensor:
        return processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0]

    def tokenize(texts: str | Sequence[str]) -> Tensor:
        batch = [texts] if isinstance(texts, str) else list(texts)
        encoded = processor.tokenizer(batch, padding="max_length", truncation=True, return_tensors="pt")
        return encoded["input_ids"]

    return OpenClipAdapter(model, processor.tokenizer.pad_token_id), transform, tokenize
