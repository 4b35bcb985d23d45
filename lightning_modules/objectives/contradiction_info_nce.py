"""InfoNCE whose negatives are the texts that an image contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import ASSERTED, DENIED, LABELS
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.row_blocks import RowLosses


class ContradictionInfoNCE(InfoNCE):
    """InfoNCE over short texts, which are true of many images: only those that are false count as wrong.

    "No nodule" belongs to one image of a batch and is true of nine in ten of the others. InfoNCE pushes it
    away from all of them and learns next to nothing about nodules; prompts are such texts. Where the batch
    says what each text asserts and denies (``TextView(claims=True)``), a text is a negative of an image if
    it asserts a concept that the image lacks or denies one that it has; pairs that agree are left out of both
    denominators. The sentence is thus told from the images in which there *is* a nodule, which is
    what telling presence from absence by prompts needs. Texts that claim the same concept with another side
    or size do not count as contradicted.

    Related: the mined entity labels of MedCLIP (Wang et al. 2022, arXiv 2210.10163), here as hard exclusion.
    Texts without claims (whole reports) are compared with all images, as in `InfoNCE`. Unknown (NaN) labels
    contradict nothing.

    Args:
        **kwargs: See `InfoNCE`.
    """

    needs = frozenset({LABELS})

    def row_losses(
        self, own: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[RowLosses, RowLosses]:
        """See `InfoNCE.row_losses`.

        Raises:
            KeyError: If the batch has claims but no labels to hold them against.
        """
        if ASSERTED not in batch:
            return super().row_losses(own, batch, gather)
        if LABELS not in batch:
            raise KeyError(f"ContradictionInfoNCE needs {LABELS!r} in the batch, which has {sorted(batch)}")
        labels, asserted, denied = batch[LABELS], batch[ASSERTED], batch[DENIED]
        all_labels, all_asserted, all_denied = gather(labels), gather(asserted), gather(denied)

        def losses(similarities: Tensor, wrong: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
            left_out = ~wrong.scatter(1, own[:, None], True)
            found = F.cross_entropy(similarities.masked_fill(left_out, -torch.inf), own, reduction="none")
            return found, wrong.sum(1)

        def to_texts(similarities: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            return losses(similarities, contradicted(labels[rows], all_asserted, all_denied), own[rows])

        def to_images(similarities: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            wrong = contradicted(all_labels, asserted[rows], denied[rows]).T
            return losses(similarities, wrong, own[rows])

        return to_texts, to_images


def contradicted(labels: Tensor, asserted: Tensor, denied: Tensor) -> Tensor:
    """Say which texts are false of which images.

    Args:
        labels: ``(images, concept)``: 1 present, 0 absent, NaN unknown.
        asserted: ``(texts, concept)``: 1 for concepts that a text says are present.
        denied: ``(texts, concept)``: 1 for concepts that it says are absent.

    Returns:
        ``(images, texts)`` bool.
    """
    absent, present = labels.eq(0).float(), labels.eq(1).float()
    return absent @ asserted.T + present @ denied.T > 0
