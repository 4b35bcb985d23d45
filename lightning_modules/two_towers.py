"""Two towers that put images and texts into one space, as whoever compares the two calls them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS, Batch
from lightning_modules.contexts import evaluating
from lightning_modules.encoders import EncoderOutput, ImageEncoder, TextEncoder
from lightning_modules.objectives import Objective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TwoTowers(LightningModule):
    """An image and a text encoder whose features are compared.

    Args:
        image_encoder: Tower for images.
        text_encoder: Tower for reports, with the same `projection_dim`.
        objective: The loss that they are, or were, trained with: it holds the temperature.

    Attributes:
        tokenizer: What turns texts into `text_encoder`'s numbers; None until there is one.

    Raises:
        ValueError: If the towers project into different dimensions.
    """

    def __init__(self, image_encoder: ImageEncoder, text_encoder: TextEncoder, objective: Objective) -> None:
        super().__init__()
        if image_encoder.projection_dim != text_encoder.projection_dim:
            raise ValueError(
                f"projection_dim is {image_encoder.projection_dim} in image_encoder and "
                f"{text_encoder.projection_dim} in text_encoder: give both the same, pairs meet there"
            )
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.objective = objective
        self.tokenizer: PreTrainedTokenizerBase | None = None

    def forward(self, batch: Batch) -> tuple[EncoderOutput, EncoderOutput | None]:
        """Encode the images of a batch and, if it has any, its reports."""
        return self.image_encoder(batch), self.text_encoder(batch) if INPUT_IDS in batch else None

    @property
    def temperature(self) -> float:
        """What similarities are divided by where they become probabilities: τ, that the objective has learnt.

        CLIP's start, 0.07, where the objective has none.
        """
        scale = getattr(getattr(self.objective, "objective", self.objective), "log_scale", None)
        return 0.07 if scale is None else math.exp(-float(scale.detach()))

    def encode_image(self, images: Tensor) -> Tensor:
        """Encode images for comparison with texts, without dropout, patch dropping or gradient.

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            Unit vectors, ``(batch, projection)`` float32.
        """
        with evaluating(self):
            return self.image_encoder({IMAGE: images.to(self.device)}).projected

    def encode_patches(self, images: Tensor) -> Tensor:
        """Encode the patches of images for comparison with texts (see `ImageEncoder.project_local`).

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            ``(batch, rows, columns, projection)`` float32, not normalised.
        """
        with evaluating(self):
            patches = self.image_encoder.project_local(self.image_encoder({IMAGE: images.to(self.device)}))
        side = math.isqrt(patches.shape[1])
        return patches.unflatten(1, (side, side))

    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """Encode texts for comparison with images, without dropout or gradient.

        Args:
            texts: Reports, sentences or prompts; longer ones than the encoder takes are cut.
            batch_size: Texts a pass; the result does not depend on it but for rounding.

        Returns:
            Unit vectors, ``(texts, projection)`` float32.

        Raises:
            RuntimeError: If the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no tokenizer: it comes with the datamodule in training and "
                "with the checkpoint afterwards; load a trained checkpoint (--ckpt_path=…) or set its "
                "tokenizer"
            )
        most = min(self.tokenizer.model_max_length, self.text_encoder.max_length)
        projected = [torch.empty(0, self.text_encoder.projection_dim, device=self.device)]
        with evaluating(self):
            for start in range(0, len(texts), batch_size):
                chunk = list(texts[start : start + batch_size])
                tokens = self.tokenizer(
                    chunk, padding=True, truncation=True, max_length=most, return_tensors="pt"
                )
                batch = {key: tokens[key].to(self.device) for key in (INPUT_IDS, ATTENTION_MASK)}
                projected.append(self.text_encoder(batch).projected)
        return torch.cat(projected)
