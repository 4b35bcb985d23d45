"""Patches say which findings they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import MASK_CONCEPTS, MASKS, DataFacts
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.loss_term import LossTerm
from synthesis.limits import at_least

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput, ImageEncoder

RARE = 0.02
"""Share of the image that a finding is taken to fill before anything is learnt (as in Lin et al. 2017)."""


class DenseSupervision(LossTerm):
    """A linear head on the patches of the image tower finds the exact masks of the findings.

    Each patch says for each concept which share of each of its cells the finding covers. The loss is the
    mean of binary cross-entropy and of the Dice loss over the batch of all ranks (Milletari et al. 2016,
    V-Net, arXiv 1606.04797), the latter over the concepts that the batch shows. A finding counts for what it
    implies, too. The head is linear, so that the patches themselves have to hold the answer, and is thrown
    away after training.

    Dense targets beside contrastive ones: G2D (Liu et al. 2024, arXiv 2312.01522), with pseudo-masks of
    attention; RadGenome-Anatomy (arXiv 2605.17368), with projected masks of CT. Here they are exact, and of
    findings: those of organs would not be, for findings move and hide them.

    Args:
        width: Dimension of the image tower's patches.
        concepts: Names of the concepts that are looked for.
        weight: See `LossTerm`.
        cells: Parts of a patch's side that are told apart, ≥ 1.

    Raises:
        ValueError: If an argument is out of range, or a concept stands twice.
    """

    name = "dense"
    needs = frozenset({MASKS, MASK_CONCEPTS})

    def __init__(self, width: int, concepts: Sequence[str], weight: float = 1.0, cells: int = 2) -> None:
        at_least(self, 1, width=width, cells=cells)
        super().__init__(weight)
        if not concepts or len(set(concepts)) < len(concepts):
            raise ValueError(f"DenseSupervision: concepts={list(concepts)} must be one or more, each once")
        self.width, self.concepts, self.cells = width, tuple(concepts), cells
        self.head = nn.Linear(width, len(concepts) * cells**2)
        nn.init.constant_(self.head.bias, math.log(RARE / (1 - RARE)))
        self._channels: tuple[tuple[int, ...], ...] = ()
        self._side = 0

    def prepare(self, image_encoder: ImageEncoder, facts: DataFacts) -> None:
        """See `LossTerm.prepare`: find the concepts in the data and the patches in the tower.

        Raises:
            ValueError: If the data does not know a concept, or the tower drops patches or has others.
        """
        known = facts.concept_names
        if unknown := [name for name in self.concepts if name not in known]:
            raise ValueError(
                f"DenseSupervision: concepts {unknown} are not among those of the data: give some of {known}"
            )
        if dropped := getattr(image_encoder, "patch_drop", 0):
            raise ValueError(
                f"DenseSupervision needs every patch, but patch_drop of {type(image_encoder).__name__} is "
                f"{dropped}: set model.init_args.image_encoder.init_args.patch_drop to 0"
            )
        if image_encoder.width != self.width:
            raise ValueError(
                f"DenseSupervision: width is {self.width}, but the patches of {type(image_encoder).__name__} "
                f"have {image_encoder.width} numbers: give width={image_encoder.width}"
            )
        self._side = image_encoder.image_size // image_encoder.patch_size
        implied = {name: {name} if facts.catalog is None else facts.catalog.closure([name]) for name in known}
        self._channels = tuple(
            tuple(i for i, name in enumerate(self.concepts) if name in implied[concept]) for concept in known
        )

    def forward(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `LossTerm.forward`; of the first image view.

        Returns:
            ``loss``, and ``dice``, the overlap in [0, 1], mean over the concepts that the batch shows.
        """
        logits = self.logits(images[0])
        targets = self.targets(batches[0], logits)
        chance = logits.sigmoid()
        sums = torch.stack([(chance * targets).sum((0, 2, 3)), chance.sum((0, 2, 3)), targets.sum((0, 2, 3))])
        common, found, there = gather(sums[None]).sum(0)
        shown = there > 0
        dice = (2 * common / (found + there).clamp_min(1e-6) * shown).sum() / shown.sum().clamp_min(1)
        entropy = F.binary_cross_entropy_with_logits(logits, targets)
        return {"loss": (entropy + 1 - dice) / 2, "dice": dice}

    def logits(self, images: EncoderOutput) -> Tensor:
        """Return what the head says: float32 ``(batch, concept, rows, columns)`` of cells."""
        cells = self.head(images.local.float()).transpose(1, 2).unflatten(2, (self._side, self._side))
        return F.pixel_shuffle(cells, self.cells)

    def targets(self, batch: Mapping[str, Any], logits: Tensor) -> Tensor:
        """Return the share of each cell that findings of each concept cover, in the shape of the logits.

        Args:
            batch: With masks.
            logits: Of the head.
        """
        targets = torch.zeros_like(logits, requires_grad=False)
        masks, concepts = batch[MASKS], batch[MASK_CONCEPTS]
        counts = [len(some) for some in masks]
        if not sum(counts):
            return targets
        covered = F.adaptive_avg_pool2d(torch.cat(list(masks)).float(), logits.shape[-1])
        rows = [row for row, count in enumerate(counts) for _ in range(count)]
        for row, concept, share in zip(rows, torch.cat(list(concepts)).tolist(), covered, strict=True):
            for channel in self._channels[concept]:
                targets[row, channel] = torch.maximum(targets[row, channel], share)
        return targets
