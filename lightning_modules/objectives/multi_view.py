"""Several images and several texts of one study, compared in every combination (CXR-CLIP)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datamodules.batch import OTHER_IMAGES
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class MultiViewInfoNCE(InfoNCE):
    """InfoNCE between all image and text views of a study, and among its images.

    With two images v¹, v² and two texts u¹, u² of every study, and InfoNCE between any two of them (τ
    shared)::

        loss = ¼ Σ_{a,b} InfoNCE(vᵃ, uᵇ) + image_agreement · InfoNCE(v¹, v²)

    You et al. 2023, "CXR-CLIP: Toward Large Scale Chest X-ray Language-Image Pre-training" (arXiv
    2310.13292), with its weight 1.0; τ is learned from 0.07. Its third term, 0.5 · InfoNCE(u¹, u²), is
    ``text_agreement`` of the `DualEncoder`, as for any objective. Where a study has more than two views,
    means over all combinations stand in place of the single terms. The images are augmentations
    (``views.image_views``, two where ``image_agreement`` compares them), the texts sections or sentences of
    the report (``views.texts``); the paper takes other images of the study where it has any, and
    back-translated text.

    Args:
        image_agreement: Weight of the contrast among images, ≥ 0.
        temperature: See `InfoNCE`.
        learnable: See `InfoNCE`.
        max_scale: See `InfoNCE`.
        image_weight: See `InfoNCE`; among images both directions count alike.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        image_agreement: float = 1.0,
        temperature: float = 0.07,
        learnable: bool = True,
        max_scale: float = 100.0,
        image_weight: float = 0.5,
    ) -> None:
        super().__init__(temperature, learnable, max_scale, image_weight)
        if image_agreement < 0:
            raise ValueError(f"MultiViewInfoNCE: image_agreement is {image_agreement}: give a weight ≥ 0")
        self.image_agreement = image_agreement
        self.needs = frozenset({OTHER_IMAGES}) if image_agreement else frozenset()

    def over_views(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `Objective.over_views`; adds ``image_loss`` where there are two images.

        Raises:
            ValueError: If a study has one image and one text: that is `InfoNCE`.
        """
        if len(images) < 2 and len(texts) < 2:
            raise ValueError(
                "MultiViewInfoNCE got one image and one text a study: set views.image_views of the data to "
                "2, or give views.texts two entries"
            )
        found = super().over_views(images, texts, batches, gather)
        if len(images) > 1:
            losses = [self._between(a, b, gather) for a, b in combinations(images, 2)]
            found["image_loss"] = torch.stack(losses).mean()
            found["loss"] = found["loss"] + self.image_agreement * found["image_loss"]
        return found

    def _between(self, first: EncoderOutput, second: EncoderOutput, gather: Gather) -> Tensor:
        one, two = first.projected.float(), second.projected.float()
        losses = self.between(one, two, self.log_scale.float().exp(), {}, gather)
        return (losses[0] + losses[1]) / 2
