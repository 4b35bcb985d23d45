"""The base of evaluations that look at more of a batch than its features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L

from callbacks.base.evaluation import Evaluation
from callbacks.base.features import FeatureCollector


class BatchEvaluation(Evaluation):
    """Measures every sample while its batch is there (images, masks, the step's outputs); judges at the end.

    What `measure` returns is gathered over ranks, ordered and rid of duplicates with the features, and lies
    in ``features.measured[self.name]`` when `evaluate` is called.
    """

    @abstractmethod
    def measure(
        self, pl_module: L.LightningModule, batch: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        """Measures a batch, without gradients.

        Args:
            pl_module: The model.
            batch: See ``datamodules/batch.py``.
            outputs: What the validation or test step returned.

        Returns:
            For each sample anything that can be pickled; None where such data has nothing to measure.
        """

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks the collector to measure."""
        FeatureCollector.of(trainer).measures[self.name] = partial(self.measure, pl_module)

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks no longer."""
        FeatureCollector.of(trainer).measures.pop(self.name, None)

    on_test_end = on_validation_end
