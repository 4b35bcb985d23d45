"""Segmentation: where each finding is, and each organ, by a light decoder on the image encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import IMAGE, ORGANS, Batch
from lightning_modules.downstream.localisation_task import LocalisationTask
from lightning_modules.downstream.pyramid_decoder import PyramidDecoder
from lightning_modules.downstream.unetr_decoder import UnetrDecoder
from lightning_modules.encoders import ImageEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from synthesis.limits import at_least
from synthesis.organ_names import ORGANS as ALL_ORGANS

FOCAL = ("pleural_effusion", "pneumothorax", "consolidation", "atelectasis", "mass", "cardiomegaly")


_LEAST = 0.002
"""Share of the batch's pixels below which a class's loss is divided by no less."""


@dataclass(kw_only=True)
class SegmentationOutput(EvaluationOutput):
    """What an evaluation step of `Segmentation` returns.

    Attributes:
        mask_logits: ``(batch, class, height, width)`` float32.
    """

    mask_logits: Tensor


class Segmentation(LocalisationTask):
    """One mask a concept or organ, which may overlap; the encoder frozen (the usual protocol) or tuned.

    The loss is the mean of two: the Dice loss over the batch (Milletari et al. 2016, V-Net, arXiv
    1606.04797), and the focal loss (Lin et al. 2017, arXiv 1708.02002) of each class, summed over the batch
    and divided by the class's own pixels, as detectors divide it by the objects. Cross-entropy over all
    pixels, as nnU-Net adds, does not learn small findings here: a nodule is in a few of ten thousand pixels,
    and "nowhere" is nearly right.

    The decoder is a `PyramidDecoder` where the tower has maps finer than its patches (a convolutional
    network, or a vision transformer with a convolutional stem), and a `UnetrDecoder` elsewhere.

    Evaluation steps return a `SegmentationOutput`, for `callbacks.SegmentationDice`.

    Args:
        image_encoder: The tower: a vision transformer without patch dropping, or a convolutional one.
        concepts: What is segmented, names of concepts of the data.
        organs: Organs that are segmented beside them, some of `synthesis.organ_names.ORGANS`, each once: of
            data that knows them, such as simulated pairs.
        channels: Channels of the decoder at full resolution.
        **kwargs: See `LocalisationTask`.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        concepts: Sequence[str] = FOCAL,
        channels: int = 16,
        organs: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, channels=channels)
        super().__init__(image_encoder, concepts, **kwargs)
        if unknown := [name for name in organs if name not in ALL_ORGANS]:
            raise ValueError(f"Segmentation: organs {unknown} are not known: give some of {ALL_ORGANS}")
        if len(set(organs)) < len(organs):
            raise ValueError(f"Segmentation: organs={list(organs)} must be each once")
        self.organs = tuple(organs)
        self.classes = (*self.concepts, *self.organs)
        self.skips = image_encoder.finest_stride < image_encoder.patch_size
        if self.skips:
            widths = image_encoder.pyramid_widths
            self.decoder: nn.Module = PyramidDecoder(widths, len(self.classes), channels)
        else:
            width, patch = image_encoder.width, image_encoder.patch_size
            self.decoder = UnetrDecoder(width, patch, len(self.classes), channels)

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: masks, and those of organs where these are segmented."""
        return super().needs(stage) | ({ORGANS} if self.organs else set())

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        return self._loss(self._forward(batch)[0], self.targets(batch))

    def outputs(self, batch: Batch) -> SegmentationOutput:
        """Return features (the mean patch) and logits."""
        logits, last = self._forward(batch)
        pooled = last.mean((2, 3)).float()
        return SegmentationOutput(F.normalize(pooled, dim=1), pooled, mask_logits=logits.float())

    def outputs_and_loss(self, batch: Batch) -> tuple[SegmentationOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        outputs = self.outputs(batch)
        return outputs, self._loss(outputs.mask_logits, self.targets(batch))

    def targets(self, batch: Batch) -> Tensor:
        """Return the masks of `classes`, float32 ``(batch, class, height, width)``, 0 where absent.

        Raises:
            KeyError: If the batch has none.
        """
        image = batch[IMAGE]
        targets = torch.zeros(len(image), len(self.concepts), *image.shape[2:], device=image.device)
        for row, findings in enumerate(self.found(batch)):
            for concept, mask in findings:
                targets[row, concept][mask] = 1
        if not self.organs:
            return targets
        chosen = batch[ORGANS][:, [ALL_ORGANS.index(name) for name in self.organs]]
        return torch.cat([targets, chosen.float()], dim=1)

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits, and the last map of the tower."""
        encoder = self.image_encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = encoder.pyramid(batch) if self.skips else encoder.hidden_maps(batch)
        return self.decoder(batch[IMAGE], maps), maps[-1]

    @staticmethod
    def _loss(logits: Tensor, targets: Tensor) -> Tensor:
        from monai.losses import DiceLoss, FocalLoss

        logits = logits.float()
        dice = DiceLoss(sigmoid=True, batch=True)(logits, targets)  # most images lack most findings
        focal = FocalLoss(gamma=2.0, reduction="none")(logits, targets).sum((0, 2, 3))
        # A class's own pixels are the measure, so that a nodule weighs as much as an effusion does.
        pixels = targets.sum((0, 2, 3)).clamp_min(_LEAST * targets[:, 0].numel())
        return (dice + (focal / pixels).mean()) / 2
