"""The contrastive loss of ConVIRT and CLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class InfoNCE(Objective):
    """Picks the right report for each image, and the right image for each report, among all pairs.

    With unit vectors v (images) and u (reports) of all N pairs, and temperature τ::

        loss = λ · mean_i −log softmax_j(v_i·u_j / τ)[i]  +  (1 − λ) · mean_i −log softmax_j(u_i·v_j / τ)[i]

    Equation 4 of Zhang et al. 2022, "Contrastive Learning of Medical Visual Representations from Paired
    Images and Text" (ConVIRT, arXiv 2010.00747; λ = 0.75, τ = 0.1 fixed); Radford et al. 2021 (CLIP, arXiv
    2103.00020; λ = 0.5, τ learned from 0.07, 1/τ clamped at 100). Over several ranks the N pairs are those
    of all of them.

    Args:
        temperature: Initial τ, > 0.
        learnable: Whether τ is trained.
        max_scale: Upper bound of 1/τ, applied after every optimiser step.
        image_weight: λ, the weight of the image-to-report direction, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learnable: bool = True,
        max_scale: float = 100.0,
        image_weight: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= image_weight <= 1:
            raise ValueError(f"InfoNCE: image_weight is {image_weight}: give a share from 0 to 1")
        if max_scale <= 0:
            raise ValueError(f"InfoNCE: max_scale is {max_scale}: give a positive bound (CLIP: 100)")
        if not 1 / max_scale <= temperature < math.inf:
            raise ValueError(
                f"InfoNCE: temperature is {temperature}: give at least 1/max_scale = {1 / max_scale:g}, "
                "or raise max_scale"
            )
        self.max_log_scale = math.log(max_scale)
        self.image_weight = image_weight
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learnable)

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`), τ and the mean number of negatives of a row."""
        image, text = images.projected.float(), texts.projected.float()
        scale = self.log_scale.float().exp()
        to_texts = scale * image @ gather(text).T
        to_images = scale * text @ gather(image).T
        image_loss, text_loss, negatives = self.contrast(
            to_texts, to_images, gather.own(image), batch, gather
        )
        loss = self.image_weight * image_loss + (1 - self.image_weight) * text_loss
        return {"loss": loss, "temperature": 1 / scale, "negatives": negatives}

    def contrast(
        self, to_texts: Tensor, to_images: Tensor, own: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Turn similarities into the two losses; what variants of InfoNCE override.

        Args:
            to_texts: Similarities over τ of the local images with all reports, ``(batch, pairs)``.
            to_images: The same of the local reports with all images.
            own: Column of each row's own partner, ``(batch,)``.
            batch: The batch.
            gather: Brings the rows of the other ranks.

        Returns:
            Loss image to report, loss report to image, mean number of negatives of a row: scalars.
        """
        negatives = to_texts.new_tensor(to_texts.shape[1] - 1)
        return F.cross_entropy(to_texts, own), F.cross_entropy(to_images, own), negatives

    @torch.no_grad()
    def after_step(self) -> None:
        """Clamp 1/τ."""
        self.log_scale.clamp_(max=self.max_log_scale)
