"""Views of one patient are nearer to each other than to other patients'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datamodules.batch import OTHER_IMAGES
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.loss_term import LossTerm

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class ImageAgreement(LossTerm):
    """InfoNCE among the image views of a batch, at a fixed temperature, as a term beside any objective.

    The image term of CXR-CLIP (You et al. 2023, arXiv 2310.13292) and of SimCLR (Chen et al. 2020, arXiv
    2002.05709), for objectives other than `MultiViewInfoNCE`. Where the views are renderings of one case
    (``data.init_args.views.renderings``), what they share is anatomy and findings: an embedding cannot agree
    by exposure, processing or framing.

    Args:
        weight: See `LossTerm`.
        temperature: τ, see `InfoNCE`.
    """

    name = "agreement"
    needs = frozenset({OTHER_IMAGES})
    needs_negatives = True
    needs_tokens = False

    def __init__(self, weight: float = 1.0, temperature: float = 0.1) -> None:
        super().__init__(weight)
        self.contrast = InfoNCE(temperature, learnable=False)

    def forward(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `LossTerm.forward`: the mean over all pairs of views.

        Raises:
            ValueError: If there is one view.
        """
        if len(images) < 2:
            raise ValueError(
                "ImageAgreement got one image a patient: set data.init_args.views.image_views to 2, or "
                "views.renderings to true"
            )
        losses = [self.contrast(a, b, {}, gather)["loss"] for a, b in combinations(images, 2)]
        return {"loss": torch.stack(losses).mean()}
