"""Fine-tuning: all weights of the image encoder under a linear head, on the labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import LABELS, Batch, data_facts
from lightning_modules.downstream.image_task import ImageTask
from lightning_modules.evaluation_output import EvaluationOutput


class FineTune(ImageTask):
    """Multi-label classification: one logit a concept of the data, from the pooled features.

    The loss is binary cross-entropy over known labels. Label fractions are the datamodule's
    (``label_fraction``); the best epoch is chosen on the validation split, never on the test split
    (``configs/tasks/fine_tune.yaml``).

    Evaluation steps return ``scores`` ``(batch, concept)``, for `callbacks.Classification`.

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
        concepts = len(data_facts(self.trainer).concept_names)
        if not concepts:
            raise ValueError("FineTune: the data has no concept_names: give it labels to be trained on")
        if self.head is None:
            self.head = nn.Linear(self.image_encoder.width, concepts)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: labels."""
        return frozenset({LABELS})

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        return masked_cross_entropy(self._logits(self.image_encoder(batch).pooled), batch[LABELS])

    def outputs(self, batch: Batch) -> EvaluationOutput:
        """Return features and scores."""
        images = self.image_encoder(batch)
        return replace(EvaluationOutput.of(images), scores=self._logits(images.pooled).float())

    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        outputs = self.outputs(batch)
        assert outputs.scores is not None
        return outputs, masked_cross_entropy(outputs.scores, batch[LABELS])

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
