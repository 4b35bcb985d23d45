"""Classification: what a model trained on labels says about held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.concept_evaluation import ConceptEvaluation
from callbacks.base.evaluation import Occasion, Result
from callbacks.base.features import Features
from callbacks.drawing.curve_pictures import roc_and_pr
from callbacks.statistics.intervals import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classification(BatchEvaluation, ConceptEvaluation):
    """AUROC and average precision of the ``scores`` that a model's evaluation step returns.

    For models trained on the labels (`lightning_modules.FineTune`). No threshold is chosen.

    Figures: ``auroc_macro``, ``ap_macro``, ``auroc/<concept>``, ``ap/<concept>``; ``accuracy`` where each
    sample has exactly one of the labels (COVIDx); all again under ``<stratum>/``.

    Args:
        name: The callback's part of the metric names.
        **kwargs: Those of `ConceptEvaluation`.
    """

    def __init__(self, name: str = "fine_tune", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    def measure(
        self, pl_module: L.LightningModule, batch: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Sequence[np.ndarray]:
        """Takes the scores.

        Raises:
            KeyError: If the step returns none.
        """
        if "scores" not in outputs:
            raise KeyError(
                f"the evaluation step of {type(pl_module).__name__} returned {sorted(outputs)}, no 'scores': "
                "Classification is for models with a score a concept, such as lightning_modules.FineTune"
            )
        return list(outputs["scores"].float().cpu().numpy())

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Judges the scores."""
        if not occasion.concepts:
            return Result({}, {"note": "no labels: nothing to judge scores by"})
        return self.result(self.tables(self._scores(features), features, occasion))

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws ROC and precision-recall curves."""
        labels = features.labels.numpy()
        return {f"{self.name}_curves": roc_and_pr(self._scores(features), labels, occasion.concepts, result)}

    def _scores(self, features: Features) -> Array:
        return np.stack(features.measured[self.name]).astype(np.float64)
