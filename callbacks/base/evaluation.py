"""The base of callbacks that turn a feature pass into figures: when to run, where, and who is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.features import FeatureCollector, Features
from callbacks.run.run_directory import run_directory, save_picture
from callbacks.statistics.intervals import Array, PatientBootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Occasion:
    """What an evaluation is made for.

    Attributes:
        stage: ``"val"`` or ``"test"``.
        concepts: Names of the label columns.
        final: Whether figures deserve intervals: at ``test``, at ``validate`` and in the last epoch of a fit.
    """

    stage: str
    concepts: tuple[str, ...]
    final: bool


@dataclass(frozen=True)
class Result:
    """What an evaluation found.

    Attributes:
        metrics: Figures by name below ``<stage>/<callback>/``.
        details: What stands behind them (n, intervals, hashes, classes left out …), ready for JSON.
    """

    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


class Evaluation(L.Callback, ABC):
    """Runs `evaluate` after each evaluation pass and logs its figures as ``<stage>/<name>/<figure>``.

    `evaluate` runs on rank zero alone and its result is sent to the others, so that figures are the same on
    every rank (checkpoint choice depends on them) and cost one process. `RunSummary` reads `metrics` and
    `details`.

    Args:
        name: The callback's part of the metric names.
        dataloader_idx: Which of several evaluation loaders it looks at.
        resamples: Bootstrap resamples of patients for 95 % intervals, drawn when an evaluation is final; 0
            for none.
        seed: Of the bootstrap.

    Attributes:
        metrics: Latest figures by full name, in double precision.
        details: Latest details by ``<stage>/<name>``.

    Raises:
        ValueError: If ``resamples`` is negative.
    """

    def __init__(self, name: str, dataloader_idx: int = 0, resamples: int = 1000, seed: int = 0) -> None:
        require_non_negative(resamples=resamples)
        self.name = name
        self.dataloader_idx = dataloader_idx
        self.resamples, self.seed = resamples, seed
        self.metrics: dict[str, float] = {}
        self.details: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Turns a feature pass into figures. Called on rank zero, without gradients, in inference mode."""

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws what was found: file name → figure. Called on rank zero after a final `evaluate`."""
        return {}

    def prepare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called on every rank before `evaluate`: the place for whatever runs the model."""

    def bootstrap(self, group: np.ndarray, occasion: Occasion) -> PatientBootstrap | None:
        """The bootstrap over the patients of some samples, ``(n,)``; None where no intervals are wanted."""
        wanted = occasion.final and self.resamples > 0
        return PatientBootstrap(group, self.resamples, self.seed) if wanted else None

    def mean_intervals(
        self, values: Mapping[str, Array], group: np.ndarray, occasion: Occasion
    ) -> dict[str, list[float]]:
        """Intervals of the means of what samples got, ``(n,)`` a name; NaN where a sample does not count."""
        intervals = {}
        for name, value in values.items():
            known = ~np.isnan(value)
            bootstrap = self.bootstrap(group[known], occasion)
            if bootstrap is not None:
                intervals[name] = bootstrap.interval(bootstrap.mean(value[known]))
        return intervals

    def macro_intervals(
        self, values: Mapping[str, Sequence[Array]], group: np.ndarray, occasion: Occasion
    ) -> dict[str, list[float]]:
        """Intervals of means over concepts of the means of what samples got: a row ``(n,)`` each."""
        bootstrap = self.bootstrap(group, occasion)
        if bootstrap is None:
            return {}
        return {
            name: bootstrap.interval(bootstrap.macro_mean(np.stack(rows)))
            for name, rows in values.items()
            if rows
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Finds out at the start, rather than after the first epoch, that there is no `FeatureCollector`."""
        FeatureCollector.of(trainer)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluates the validation pass, unless this is the sanity check."""
        if not trainer.sanity_checking:
            self._run(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluates the test pass."""
        self._run(trainer, pl_module, "test")

    def _run(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        features = FeatureCollector.of(trainer).features(trainer, self.dataloader_idx)
        occasion = Occasion(stage, concept_names(trainer, features), is_final(trainer))
        self.prepare(trainer, pl_module)
        directory = run_directory(trainer)
        result = trainer.strategy.broadcast(
            self._attempt(trainer, features, occasion, directory) if trainer.is_global_zero else None
        )
        if isinstance(result, Exception):
            raise result
        assert result is not None
        prefix = f"{stage}/{self.name}"
        kept = {key: value for key, value in self.metrics.items() if not key.startswith(f"{prefix}/")}
        self.metrics = kept | {f"{prefix}/{key}": value for key, value in result.metrics.items()}
        self.details[prefix] = {"n": len(features), **_split_hash(trainer, stage), **result.details}
        for key, value in result.metrics.items():
            pl_module.log(
                f"{prefix}/{key}",
                value,
                prog_bar=key == "auroc_macro",
                batch_size=1,
                sync_dist=True,  # the ranks hold the same value already: this only spares a warning
                add_dataloader_idx=False,
            )

    def _attempt(
        self, trainer: L.Trainer, features: Features, occasion: Occasion, directory: Path | None
    ) -> Result | Exception:
        try:
            result = self.evaluate(features, occasion)
            if occasion.final and directory is not None and result.metrics:
                for name, figure in self.pictures(features, occasion, result).items():
                    key = f"pictures/{occasion.stage}_{name}"
                    save_picture(trainer, figure, directory / f"{key}.png", key)
            return result
        except Exception as error:  # sent on to be raised by all ranks: the others would wait for ever
            return error


def is_final(trainer: L.Trainer) -> bool:
    """Whether no later evaluation of this kind follows in the run."""
    if trainer.state.fn != "fit" or trainer.should_stop:
        return True
    last_epoch = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= (
        trainer.max_epochs or 0
    )
    last_step = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    return last_epoch or last_step


def concept_names(trainer: L.Trainer, features: Features) -> tuple[str, ...]:
    """Names of the label columns, from the datamodule.

    Raises:
        ValueError: If the datamodule names none, or another number than the labels have columns.
    """
    columns = features.labels.shape[1]
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    names = tuple(getattr(datamodule, "concept_names", ()))
    if columns and len(names) != columns:
        raise ValueError(
            f"the labels have {columns} columns but {type(datamodule).__name__}.concept_names has "
            f"{len(names)}: a datamodule with labels names their columns, in order"
        )
    return names if columns else ()


def _split_hash(trainer: L.Trainer, stage: str) -> dict[str, str]:
    hasher: Callable[[str], str] | None = getattr(trainer.datamodule, "split_sha256", None)  # type: ignore[attr-defined]
    return {} if hasher is None else {"split_sha256": hasher(stage)}


def require_non_negative(**numbers: int) -> None:
    """Refuse arguments under 0.

    Raises:
        ValueError: If there is one; the message names all that are.
    """
    if below := {name: number for name, number in numbers.items() if number < 0}:
        given = ", ".join(f"{name}={number}" for name, number in below.items())
        raise ValueError(f"{given}: must be at least 0")
