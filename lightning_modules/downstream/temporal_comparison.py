"""Temporal comparison: is a finding less, as much or more severe than in an earlier radiograph?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import CHANGE, IMAGE, PRIOR, Batch, data_facts
from lightning_modules.downstream.image_task import ImageTask
from lightning_modules.evaluation_output import EvaluationOutput
from synthesis.limits import at_least

CLASSES = ("less", "same", "more")


class TemporalComparison(ImageTask):
    """Three classes a concept, from the pooled features of both radiographs and their difference.

    One tower encodes both; a two-layer head reads (current, prior, current − prior). The loss is
    cross-entropy over the graded findings. The task is that of MS-CXR-T (Bannur et al. 2023, BioViL-T, arXiv
    2301.04558: improving, stable, worsening), here with changes that are known exactly.

    Evaluation steps return ``scores`` ``(batch, concept, 3)``, logits of less, same and more, for
    `callbacks.ChangeAccuracy`.

    Args:
        hidden: Width of the head's hidden layer.
        **kwargs: See `ImageTask`.
    """

    def __init__(self, hidden: int = 256, **kwargs: Any) -> None:
        at_least(self, 1, hidden=hidden)
        super().__init__(**kwargs)
        self.hidden = hidden
        self.head: nn.Sequential | None = None

    def setup(self, stage: str) -> None:
        """Add a head for the concepts of the data: see `ImageTask.setup`."""
        super().setup(stage)
        if self.head is None:
            outputs = len(CLASSES) * len(data_facts(self.trainer).concept_names)
            first = nn.Linear(3 * self.image_encoder.width, self.hidden)
            self.head = nn.Sequential(first, nn.GELU(), nn.Linear(self.hidden, outputs))

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: earlier radiographs, and what has changed since."""
        return frozenset({PRIOR, CHANGE})

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        return change_cross_entropy(self._logits(batch, self.image_encoder(batch).pooled), batch[CHANGE])

    def outputs(self, batch: Batch) -> EvaluationOutput:
        """Return the features of the current radiograph, and scores."""
        images = self.image_encoder(batch)
        return replace(EvaluationOutput.of(images), scores=self._logits(batch, images.pooled).float())

    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        outputs = self.outputs(batch)
        assert outputs.scores is not None
        return outputs, change_cross_entropy(outputs.scores, batch[CHANGE])

    def _logits(self, batch: Batch, current: Tensor) -> Tensor:
        assert self.head is not None, "setup adds it"
        prior = self.image_encoder({IMAGE: batch[PRIOR]}).pooled
        logits: Tensor = self.head(torch.cat([current, prior, current - prior], dim=1))
        return logits.unflatten(1, (-1, len(CLASSES)))


def change_cross_entropy(logits: Tensor, change: Tensor) -> Tensor:
    """Cross-entropy, averaged over the findings whose change is known.

    Args:
        logits: ``(batch, concept, 3)``.
        change: ``(batch, concept)`` of 0, 1, 2 and NaN.

    Returns:
        A scalar; 0 with a gradient of 0 where nothing is known.
    """
    known = ~change.isnan()
    classes = change.nan_to_num(0.0).long()
    loss = F.cross_entropy(logits.float().movedim(-1, 1), classes, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)
