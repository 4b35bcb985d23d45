"""InfoNCE that knows which other reports mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import LABELS
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.row_blocks import RowLosses


class ConceptAwareInfoNCE(InfoNCE):
    """InfoNCE without false negatives: another pair with the same concept set is not pushed away.

    InfoNCE takes the report of every other patient for a wrong answer, also where it says the same ("no
    finding" foremost). Made pairs come with their exact concept sets (the labels), so such pairs are known:

    - ``mask``: they are left out of the denominator, neither attracted nor repelled;
    - ``soft``: they share the target, softness : 1 with the row's own partner, rows normalised to 1. With
      softness 1 it is the multi-positive loss of StableRep (Tian et al. 2023, arXiv:2306.00984, equation 2).

    Where all concept sets differ both equal `InfoNCE`. A row with an unknown (NaN) label equals no other.
    Labels hold neither side nor severity nor place: pairs that differ only in these count as the same,
    which ``mask`` leaves to the other negatives to tell apart and ``soft`` blurs the more, the higher the
    softness.

    Args:
        mode: ``mask`` or ``soft``.
        softness: Target weight of a same-set pair relative to the own one, in (0, 1]; for ``soft``.
        temperature: See `InfoNCE`.
        learnable: See `InfoNCE`.
        max_scale: See `InfoNCE`.
        image_weight: See `InfoNCE`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        mode: Literal["mask", "soft"] = "mask",
        softness: float = 1.0,
        temperature: float = 0.07,
        learnable: bool = True,
        max_scale: float = 100.0,
        image_weight: float = 0.5,
    ) -> None:
        super().__init__(temperature, learnable, max_scale, image_weight)
        if mode not in ("mask", "soft"):
            raise ValueError(f"ConceptAwareInfoNCE: mode is {mode!r}: give 'mask' or 'soft'")
        if not 0 < softness <= 1:
            raise ValueError(f"ConceptAwareInfoNCE: softness is {softness}: give a weight in (0, 1]")
        self.needs = frozenset({LABELS})
        self.mode = mode
        self.softness = softness

    def row_losses(
        self, own: Tensor, batch: Mapping[str, Any], gather: Gather
    ) -> tuple[RowLosses, RowLosses]:
        """See `InfoNCE.row_losses`.

        Raises:
            KeyError: If the batch has no labels.
        """
        if LABELS not in batch:
            raise KeyError(f"ConceptAwareInfoNCE needs {LABELS!r} in the batch, which has {sorted(batch)}")
        labels, all_labels = batch[LABELS], gather(batch[LABELS])

        def losses(similarities: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            partners = own[rows, None]
            same = same_concepts(labels[rows], all_labels).scatter(1, partners, False)
            negatives = (~same).sum(1) - 1
            if self.mode == "mask":
                others = similarities.masked_fill(same, -torch.inf)
                return F.cross_entropy(others, own[rows], reduction="none"), negatives
            target = (self.softness * same).scatter(1, partners, 1.0)
            target = target / target.sum(1, keepdim=True)
            return F.cross_entropy(similarities, target, reduction="none"), negatives

        return losses, losses


def same_concepts(rows: Tensor, columns: Tensor) -> Tensor:
    """Say which label rows are equal and known throughout.

    Args:
        rows: ``(batch, concept)``: 1 present, 0 absent, NaN unknown.
        columns: ``(pairs, concept)``.

    Returns:
        ``(batch, pairs)`` bool.
    """
    # Counting agreements is one matrix product each, where comparing would hold batch × pairs × concepts.
    # NaN is neither 1 nor 0, so it agrees with nothing; counts are exact in float32.
    present = rows.eq(1).float() @ columns.eq(1).float().T
    absent = rows.eq(0).float() @ columns.eq(0).float().T
    return present + absent == rows.shape[1]
