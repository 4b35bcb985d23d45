"""Fine-tuning: all weights of the image encoder under a linear head, on the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import IMAGE, LABELS
from lightning_modules.downstream.image_task import ImageTask, features

_Batch = Mapping[str, Any]


class FineTune(ImageTask):
    """Multi-label classification: one logit a concept of the data, from the pooled features.

    The loss is binary cross-entropy over known labels. Label fractions are the datamodule's
    (``label_fraction``); the best epoch is chosen on the validation split, never on the test split
    (``configs/tasks/fine_tune.yaml``).

    Logs ``train/loss`` and ``val/loss``. Evaluation steps return ``scores`` ``(batch, concept)``, for
    `callbacks.Classification`.

    Args:
        **kwargs: See `ImageTask`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.head: nn.Linear | None = None

    def setup(self, stage: str) -> None:
        """Add a head for the concepts of the data: see `ImageTask.setup`.

        Raises:
            ValueError: If the data names no concepts.
        """
        super().setup(stage)
        concepts = len(getattr(self.trainer.datamodule, "concept_names", ()))  # type: ignore[attr-defined]
        if not concepts:
            raise ValueError("FineTune: the data has no concept_names: give it labels to be trained on")
        if self.head is None:
            self.head = nn.Linear(self.image_encoder.width, concepts)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def training_step(self, batch: _Batch, batch_idx: int) -> Tensor:
        """Compute the loss of one batch."""
        with self.draws():
            loss = masked_cross_entropy(self._logits(self.image_encoder(batch).pooled), batch[LABELS])
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch[IMAGE]))
        return loss

    def validation_step(self, batch: _Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Return features and scores, and log the loss."""
        outputs = self.test_step(batch, batch_idx)
        loss = masked_cross_entropy(outputs["scores"], batch[LABELS])
        size = len(batch[IMAGE])
        self.log("val/loss", loss, batch_size=size, sync_dist=True, add_dataloader_idx=False)
        return outputs

    def test_step(self, batch: _Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Return features and scores."""
        images = self.image_encoder(batch)
        return features(images) | {"scores": self._logits(images.pooled).float()}

    def _logits(self, pooled: Tensor) -> Tensor:
        assert self.head is not None, "setup adds it"
        return self.head(pooled)


def masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over known labels.

    Args:
        logits: ``(batch, concept)``.
        labels: ``(batch, concept)`` of 1, 0 and NaN (unknown).

    Returns:
        A scalar; 0 with a gradient of 0 where nothing is known.
    """
    known = ~labels.isnan()
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels.nan_to_num(0.0), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)
