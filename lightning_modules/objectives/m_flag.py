"""M-FLAG: images follow a frozen language model, without negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class MFLAG(Objective):
    """Alignment with the text of a frozen encoder, and image features whose dimensions are orthogonal.

    With pooled image features Z ``(N, D)`` and projected features x, y standardised over the N pairs::

        align      = mean_i 2 (2 − 2 cos(x_i, y_i))
        orthogonal = ½ [ Σ_i ((ZᵀZ / N)_ii − 1)² + off_diagonal · Σ_{i≠j} (ZᵀZ / N)_ij² ]
        loss       = align + orthogonal_weight · orthogonal

    Liu et al. 2023, "M-FLAG: Medical Vision-Language Pre-training with Frozen Language Models and Latent
    Space Geometry Optimization" (arXiv 2307.08347), with the off-diagonal weight 0.0051 of
    the released code (Barlow Twins' λ). The code standardises by a last BatchNorm without affine part, here
    the statistics of all ranks' pairs, without running averages. Without it both projections would agree on a
    constant, for there are no negatives: M-FLAG is made for image features, not for retrieval. The text
    encoder has to be a trained one, frozen (``adaptation: {frozen_layers: all}``); with a random one an image
    learns to tell random projections of its words.

    Args:
        orthogonal_weight: Weight of the orthogonality, ≥ 0.
        off_diagonal: Weight of correlations between dimensions, ≥ 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    needs_tokens = False

    def __init__(self, orthogonal_weight: float = 1.0, off_diagonal: float = 0.0051) -> None:
        super().__init__()
        if min(orthogonal_weight, off_diagonal) < 0:
            raise ValueError(
                f"MFLAG: orthogonal_weight {orthogonal_weight}, off_diagonal {off_diagonal}: give weights ≥ 0"
            )
        self.orthogonal_weight = orthogonal_weight
        self.off_diagonal = off_diagonal

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`) and its two terms.

        Every rank computes the whole loss from the rows of all: its average over ranks is exact too.

        Raises:
            ValueError: If the text encoder is being trained.
        """
        if texts.pooled.requires_grad:
            raise ValueError(
                "MFLAG aligns images with a text encoder that stays as it is; this one is being trained, so "
                "that both would agree on nothing: set text_encoder.init_args.adaptation.frozen_layers to all"
            )
        image, text = (standardised(gather(features.projected.float())) for features in (images, texts))
        align = (4 - 4 * F.cosine_similarity(image, text, dim=1)).mean()
        pooled = gather(images.pooled.float())
        squares = (
            pooled.T @ pooled / len(pooled) - torch.eye(pooled.shape[1], device=pooled.device)
        ).square()
        on_diagonal = squares.diagonal().sum()
        orthogonal = (on_diagonal + self.off_diagonal * (squares.sum() - on_diagonal)) / 2
        loss = align + self.orthogonal_weight * orthogonal
        return {"loss": loss, "align_loss": align, "orthogonal_loss": orthogonal}

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """Refuse: the text encoder is not trained.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "MFLAG does not train the text encoder, so texts cannot agree: set text_agreement to 0"
        )


def standardised(rows: Tensor) -> Tensor:
    """Shift and scale every column to mean 0 and variance 1, as BatchNorm does."""
    return (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()
