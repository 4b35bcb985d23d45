"""MedCLIP: images and texts attract each other as much as their labels agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import ASSERTED, DENIED, LABELS, TEXT_LABELS
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.row_blocks import RowLosses

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class MedCLIP(InfoNCE):
    """Cross-entropy between similarities and the agreement of known labels; pairs need not be pairs.

    With labels l in {1 present, −1 absent, 0 unknown or not mentioned} of images i and texts j::

        s_ij = l_i · l_j   (cosine: divided by the lengths of both)
        loss = λ · mean_i CE(softmax_j(s_ij), softmax_j(v_i·u_j / τ))
             + (1 − λ) · mean_j CE(softmax_i(s_ij), softmax_i(v_i·u_j / τ))

    Wang et al. 2022, "MedCLIP: Contrastive Learning from Unpaired Medical Images and Text" (arXiv
    2210.10163). The paper's s is the cosine of vectors of present labels, the released
    code's the dot product of labels with signs, the default here; τ is learned from 0.07, 1/τ clamped at 100,
    λ = 0.5.

    Labels of a text are what it claims where the batch says so (``TextView(claims=True)``: asserted 1, denied
    −1), else those of the patient whose report it is. Nothing says which text belongs to which image, so that
    images and texts of different patients serve as well (``unpaired``).

    Args:
        cosine: Whether s is divided by the lengths of both label vectors.
        temperature: See `InfoNCE`.
        learnable: See `InfoNCE`.
        max_scale: See `InfoNCE`.
        image_weight: See `InfoNCE`.
        unpaired: Whether training reads the reports of other patients than it sees.
    """

    def __init__(
        self,
        cosine: bool = False,
        temperature: float = 0.07,
        learnable: bool = True,
        max_scale: float = 100.0,
        image_weight: float = 0.5,
        unpaired: bool = False,
    ) -> None:
        super().__init__(temperature, learnable, max_scale, image_weight)
        self.cosine = cosine
        self.needs = frozenset({LABELS, TEXT_LABELS} if unpaired else {LABELS})

    def row_losses(
        self, own: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[RowLosses, RowLosses]:
        """See `InfoNCE.row_losses`. Negatives are the texts that contradict an image more than they agree.

        Raises:
            KeyError: If the batch has no labels.
        """
        if LABELS not in batch:
            raise KeyError(
                f"MedCLIP needs {LABELS!r} in the batch, which has {sorted(batch)}: without labels nothing "
                "says what belongs together; use InfoNCE"
            )
        images, texts = signed(batch[LABELS]), text_labels(batch)
        if self.cosine:
            images, texts = F.normalize(images, dim=1), F.normalize(texts, dim=1)

        def against(labels: Tensor, others: Tensor) -> RowLosses:
            def losses(similarities: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
                agree = labels[rows] @ others.T
                found = F.cross_entropy(similarities, agree.softmax(1), reduction="none")
                return found, (agree < 0).sum(1)

            return losses

        return against(images, gather(texts)), against(texts, gather(images))

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """See `Objective.agreement`: the labels of both texts are those of the report's patient."""
        labels = {LABELS: batch.get(TEXT_LABELS, batch.get(LABELS))}
        return super().agreement(first, second, batch if labels[LABELS] is None else labels, gather)


def signed(labels: Tensor) -> Tensor:
    """Turn 1 present, 0 absent, NaN unknown into 1, −1, 0."""
    return torch.nan_to_num(2 * labels - 1, nan=0.0)


def text_labels(batch: Mapping[str, Any]) -> Tensor:
    """Return the labels of the texts of a batch, ``(batch, concept)`` in {1, −1, 0}."""
    if ASSERTED in batch:
        claims: Tensor = batch[ASSERTED] - batch[DENIED]
        return claims
    return signed(batch.get(TEXT_LABELS, batch[LABELS]))
