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
from lightning_modules.objectives.row_blocks import RowLosses, mean_over_rows

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

    needs_tokens = False

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
        image_loss, text_loss, negatives = self.between(image, text, scale, batch, gather)
        loss = self.image_weight * image_loss + (1 - self.image_weight) * text_loss
        return {"loss": loss, "temperature": 1 / scale, "negatives": negatives}

    def between(
        self, image: Tensor, text: Tensor, scale: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare the local rows with those of all ranks, both ways.

        Args:
            image: Unit vectors of the local images, ``(batch, dim)``.
            text: Unit vectors of the local texts, ``(batch, dim)``.
            scale: 1/τ.
            batch: The batch.
            gather: Brings the rows of the other ranks.

        Returns:
            Loss image to report, loss report to image, mean number of negatives of an image: scalars.
        """
        to_texts, to_images = self.row_losses(gather.own(image), batch, gather)
        image_loss, negatives = mean_over_rows(_scaled, image, gather(text), [scale], to_texts)
        text_loss, _ = mean_over_rows(_scaled, text, gather(image), [scale], to_images)
        return image_loss, text_loss, negatives

    def row_losses(
        self, own: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[RowLosses, RowLosses]:
        """Return what turns similarities over τ into losses and numbers of negatives; variants override it.

        Rows come in blocks (see `mean_over_rows`), so what a variant needs of all ranks it gathers here.

        Args:
            own: Column of each row's own partner, ``(batch,)``.
            batch: The batch.
            gather: Brings the rows of the other ranks.

        Returns:
            One for rows of the local images against all texts, one for rows of the local texts against all
            images.
        """

        def losses(similarities: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            negatives = similarities.new_full((len(similarities),), similarities.shape[1] - 1)
            return F.cross_entropy(similarities, own[rows], reduction="none"), negatives

        return losses, losses

    @torch.no_grad()
    def after_step(self) -> None:
        """Clamp 1/τ."""
        self.log_scale.clamp_(max=self.max_log_scale)


def _scaled(queries: Tensor, keys: Tensor, scale: Tensor) -> Tensor:
    return scale * queries @ keys.T
