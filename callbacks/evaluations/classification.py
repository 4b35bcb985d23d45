"""Classification: what a model trained on labels says about held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.concept_evaluation import ConceptEvaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.curve_pictures import roc_and_pr
from callbacks.statistics.intervals import Array
from datamodules.batch import Batch
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classification(BatchEvaluation[EvaluationOutput], ConceptEvaluation):
    """AUROC and average precision of the ``scores`` that a model's evaluation step returns.

    For models trained on the labels (`lightning_modules.FineTune`). No threshold is chosen.

    Figures: ``auroc_macro``, ``ap_macro``, ``auroc/<concept>``, ``ap/<concept>``; ``accuracy`` where each
    sample has exactly one of the labels (COVIDx); all again under ``<stratum>/``.

    Args:
        name: The callback's name in metric names.
        **kwargs: Those of `ConceptEvaluation`.
    """

    def __init__(self, name: str = "fine_tune", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[np.ndarray]:
        """Take the scores.

        Raises:
            TypeError: If the step returns none.
        """
        if outputs.scores is None:
            raise TypeError(
                f"the evaluation step of {type(pl_module).__name__} returned no scores: Classification is "
                "for models with a score a concept, such as lightning_modules.FineTune"
            )
        return list(outputs.scores.float().cpu().numpy())

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Judge the scores."""
        if not occasion.concepts:
            return Result({}, {"note": "no labels: nothing to judge scores by"})
        scores = self._scores(features)
        return self.with_roc(
            self.result(self.tables(scores, features, occasion), occasion), scores, features, occasion
        )

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw ROC and precision-recall curves."""
        labels = features.labels.numpy()
        scores, names = self._scores(features), occasion.concepts
        return {f"{self.name}_curves": roc_and_pr(scores, labels, names, result.metrics)}

    def _scores(self, features: Features) -> Array:
        return np.stack(features.measured[self.name]).astype(np.float64)
