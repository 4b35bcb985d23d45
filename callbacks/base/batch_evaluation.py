"""The base of evaluations that look at more of a batch than its features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import lightning as L

from callbacks.base.evaluation import Evaluation
from callbacks.base.features import FeatureCollector
from datamodules.batch import Batch
from lightning_modules.evaluation_output import EvaluationOutput

Output = TypeVar("Output", bound=EvaluationOutput)


class BatchEvaluation(Evaluation, Generic[Output]):
    """Measures every sample while its batch is there (images, masks, the step's outputs); judges at the end.

    What `measure` returns is gathered over ranks, ordered and rid of duplicates with the features, and lies
    in ``features.measured[self.name]`` when `evaluate` is called. All evaluation loaders are measured.

    Attributes:
        reads: What the model's evaluation step has to return.
    """

    reads: ClassVar[type[EvaluationOutput]] = EvaluationOutput

    @abstractmethod
    def measure(self, pl_module: L.LightningModule, batch: Batch, outputs: Output) -> Sequence[Any] | None:
        """Measure a batch, without gradients.

        Args:
            pl_module: The model.
            batch: See ``datamodules/batch.py``.
            outputs: What the validation or test step returned, a `reads`.

        Returns:
            For each sample anything that can be pickled; None where such data has nothing to measure.
        """

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ask the collector to measure."""
        FeatureCollector.of(trainer).measures[self.name] = partial(self._measure, pl_module)

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ask no longer."""
        FeatureCollector.of(trainer).measures.pop(self.name, None)

    on_test_end = on_validation_end

    def _measure(self, pl_module: L.LightningModule, batch: Batch, outputs: Any) -> Sequence[Any] | None:
        if not isinstance(outputs, self.reads):
            raise TypeError(
                f"the evaluation step of {type(pl_module).__name__} returned {type(outputs).__name__}, but "
                f"{type(self).__name__} reads {self.reads.__module__}.{self.reads.__name__}: take it out of "
                "trainer.callbacks, or use it with a model that returns that"
            )
        return self.measure(pl_module, batch, outputs)  # type: ignore[arg-type]  # checked above
