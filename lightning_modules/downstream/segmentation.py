"""Segmentation: where each finding is, by a light decoder on the image encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import IMAGE
from lightning_modules.downstream.localisation_task import LocalisationTask
from lightning_modules.downstream.unetr_decoder import UnetrDecoder
from lightning_modules.vit_encoder import ViTEncoder

_Batch = Mapping[str, Any]

FOCAL = ("pleural_effusion", "pneumothorax", "consolidation", "atelectasis", "mass", "cardiomegaly")


class Segmentation(LocalisationTask):
    """One mask a concept, findings may overlap; the encoder frozen (the usual protocol) or tuned.

    The loss is the mean of binary cross-entropy and of the Dice loss over the batch (Milletari et al. 2016,
    V-Net, arXiv 1606.04797), as in nnU-Net.

    Logs ``train/loss`` and ``val/loss``. Evaluation steps return ``mask_logits``
    ``(batch, concept, height, width)``, for `callbacks.SegmentationDice`.

    Args:
        image_encoder: The tower, a vision transformer without patch dropping.
        concepts: What is segmented, names of concepts of the data.
        channels: Channels of the decoder at full resolution.
        **kwargs: See `LocalisationTask`.
    """

    def __init__(
        self,
        image_encoder: ViTEncoder,
        concepts: Sequence[str] = FOCAL,
        channels: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_encoder, concepts, **kwargs)
        self.decoder = UnetrDecoder(image_encoder.width, image_encoder.patch_size, len(concepts), channels)

    def training_step(self, batch: _Batch, batch_idx: int) -> Tensor:
        """Compute the loss of one batch."""
        with self.draws():
            loss = self._loss(self._forward(batch)[0], self.targets(batch))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch[IMAGE]))
        return loss

    def validation_step(self, batch: _Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Return features and logits, and log the loss."""
        outputs = self.test_step(batch, batch_idx)
        loss = self._loss(outputs["mask_logits"], self.targets(batch))
        size = len(batch[IMAGE])
        self.log("val/loss", loss, batch_size=size, sync_dist=True, add_dataloader_idx=False)
        return outputs

    def test_step(self, batch: _Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Return features (the mean patch) and logits."""
        logits, last = self._forward(batch)
        pooled = last.mean((2, 3)).float()
        return {"image": F.normalize(pooled, dim=1), "image_pooled": pooled, "mask_logits": logits.float()}

    def targets(self, batch: _Batch) -> Tensor:
        """Return the masks of the concepts, float32 ``(batch, concept, height, width)``, 0 where absent.

        Raises:
            KeyError: If the batch has none.
        """
        image = batch[IMAGE]
        targets = torch.zeros(len(image), len(self.concepts), *image.shape[2:], device=image.device)
        for row, findings in enumerate(self.found(batch)):
            for concept, mask in findings:
                targets[row, concept][mask] = 1
        return targets

    def _forward(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Logits, and the last map of the tower."""
        encoder = self.image_encoder
        assert isinstance(encoder, ViTEncoder)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = encoder.hidden_maps(batch)
        return self.decoder(batch[IMAGE], maps), maps[-1]

    @staticmethod
    def _loss(logits: Tensor, targets: Tensor) -> Tensor:
        from monai.losses import DiceLoss

        dice = DiceLoss(sigmoid=True, batch=True)  # over the batch: most images lack most findings
        logits = logits.float()
        return (F.binary_cross_entropy_with_logits(logits, targets) + dice(logits, targets)) / 2
