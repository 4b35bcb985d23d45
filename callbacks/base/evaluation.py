"""The base of callbacks that turn a feature pass into figures: when to run, where, and who is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch

from callbacks.base.features import FeatureCollector, Features
from callbacks.base.records import save_charts, save_picture
from callbacks.base.result import Occasion, Result, with_intervals
from callbacks.base.run_directory import run_directory
from callbacks.statistics.intervals import Array, PatientBootstrap
from datamodules.batch import DataFacts, data_facts
from synthesis.limits import at_least

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Evaluation(L.Callback, ABC):
    """Runs `evaluate` after each evaluation pass and logs its figures as ``<stage>/<name>/<figure>``.

    Where a stage has several loaders (``evaluation_sources`` of the data), each is evaluated: figures of the
    first stand under that name, those of another under ``<stage>/<name>@<source>/<figure>``.

    `evaluate` runs on rank zero alone and its result is sent to the others, so that figures are the same on
    every rank (checkpoint choice depends on them) and cost one process. `RunSummary` reads `metrics`,
    `details` and `draws`.

    Which validation of a fit is its last is known when training has ended, by whatever limit. The last one is
    evaluated again then, for its intervals.

    Args:
        name: The callback's name in metric names.
        resamples: Bootstrap resamples of patients for 95 % intervals, drawn when an evaluation is final; 0
            for none.
        seed: Of the bootstrap.

    Attributes:
        needs: Keys of `datamodules.batch.Batch` that evaluation batches must hold: the data module supplies
            them, or refuses.
        pictured_without_figures: Whether `pictures` is also called where `evaluate` has found no figure.
        metrics: Latest figures by full name, in double precision.
        details: Latest details by ``<stage>/<name>``.
        draws: Latest bootstrap draws by ``<stage>/<name>`` and figure, on rank zero.

    Raises:
        ValueError: If ``resamples`` is negative.
    """

    needs: frozenset[str] = frozenset()
    pictured_without_figures: bool = False

    def __init__(self, name: str, resamples: int = 1000, seed: int = 0) -> None:
        at_least(self, 0, seed=seed)
        require_non_negative(resamples=resamples)
        self.name = name
        self.resamples, self.seed = resamples, seed
        self.metrics: dict[str, float] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.draws: dict[str, dict[str, Array]] = {}
        self._to_finish = False

    @abstractmethod
    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Turn a feature pass into figures. Called on rank zero, without gradients, in inference mode."""

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw the result: file name → figure. Called on rank zero after a final `evaluate`.

        Args:
            features: What was evaluated.
            occasion: What for.
            result: What `evaluate` returned, with ``details["intervals"]``.
        """
        return {}

    def hindrance(self, trainer: L.Trainer, stage: str) -> str | None:
        """Return why the data of a stage give no figures; None where nothing speaks against it.

        Asked before anything is trained, so that a figure that will not come is not waited for.

        Args:
            trainer: The trainer, with its data set up.
            stage: "val" or "test".
        """
        return None

    def check(self, trainer: L.Trainer) -> None:
        """Refuse, before anything is trained, what the data cannot give.

        Args:
            trainer: The trainer, with its data set up.
        """

    def prepare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called on every rank before `evaluate`: the place for whatever runs the model."""

    def bootstrap(self, group: np.ndarray, occasion: Occasion) -> PatientBootstrap | None:
        """Return the bootstrap over the patients of some samples, ``(n,)``; None where none is wanted."""
        wanted = occasion.final and self.resamples > 0
        return PatientBootstrap(group, self.resamples, self.seed) if wanted else None

    def mean_draws(
        self, values: Mapping[str, Array], group: np.ndarray, occasion: Occasion
    ) -> dict[str, Array]:
        """Draw the means of what samples got, ``(n,)`` a name; NaN where a sample does not count."""
        draws = {}
        for name, value in values.items():
            known = ~np.isnan(value)
            bootstrap = self.bootstrap(group[known], occasion)
            if bootstrap is not None and known.any():
                draws[name] = bootstrap.mean(value[known])
        return draws

    def macro_draws(
        self, values: Mapping[str, Sequence[Array]], group: np.ndarray, occasion: Occasion
    ) -> dict[str, Array]:
        """Draw the means over concepts of the means of what samples got: a row ``(n,)`` each."""
        bootstrap = self.bootstrap(group, occasion)
        if bootstrap is None:
            return {}
        return {name: bootstrap.macro_mean(np.stack(rows)) for name, rows in values.items() if rows}

    # -------------------------------------------------------------------------------------------------- hooks
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Notice at the start, rather than after the first epoch, what would spoil the figures.

        Raises:
            LookupError: If there is no `FeatureCollector`.
            ValueError: If another evaluation has the same name: one would overwrite the other's figures.
        """
        FeatureCollector.of(trainer)
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        same = [other for other in callbacks if isinstance(other, Evaluation) and other.name == self.name]
        if len(same) > 1:
            kinds = " and ".join(type(other).__name__ for other in same)
            raise ValueError(
                f"trainer.callbacks: {kinds} have the name {self.name!r}: give one another `name`"
            )
        if getattr(trainer, "datamodule", None) is not None:
            self.check(trainer)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate the validation pass, unless this is the sanity check."""
        if not trainer.sanity_checking:
            self._to_finish = trainer.state.fn == "fit"
            self.prepare(trainer, pl_module)
            self._run(trainer, pl_module, "val", final=not self._to_finish)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate the test pass."""
        self.prepare(trainer, pl_module)
        self._run(trainer, pl_module, "test", final=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the last validation its intervals and pictures."""
        if self._to_finish:
            self._to_finish = False
            self._run(trainer, None, "val", final=True)

    # --------------------------------------------------------------------------------------------- evaluating
    def _run(
        self, trainer: L.Trainer, logging_module: L.LightningModule | None, stage: str, final: bool
    ) -> None:
        facts, collector = data_facts(trainer), FeatureCollector.of(trainer)
        directory = run_directory(trainer)
        self._forget(stage)
        for number, source in enumerate(collector.sources(trainer, stage)):
            features = collector.features(trainer, number)
            names = label_names(facts, features)
            occasion = Occasion(stage, names, final, findings_of(facts, names), source if number else "")
            result = trainer.strategy.broadcast(
                self._attempt(trainer, features, occasion, directory) if trainer.is_global_zero else None
            )
            if isinstance(result, Exception):
                raise result
            assert result is not None
            prefix = f"{stage}/{self.name}" + (f"@{source}" if number else "")
            self.metrics |= {f"{prefix}/{key}": value for key, value in result.metrics.items()}
            counted = {"n": result.details["n"]}  # rank zero alone has the samples
            self.details[prefix] = {**counted, **_origin(facts, stage, source), **result.details}
            if logging_module is not None:
                _log(logging_module, prefix, result.metrics)

    def _forget(self, stage: str) -> None:
        ours = (f"{stage}/{self.name}/", f"{stage}/{self.name}@")
        entries: dict[str, Any]
        for entries in (self.metrics, self.details, self.draws):
            for key in [key for key in entries if f"{key}/".startswith(ours)]:
                del entries[key]

    def _attempt(
        self, trainer: L.Trainer, features: Features, occasion: Occasion, directory: Path | None
    ) -> Result | Exception:
        suffix = f"@{occasion.source}" if occasion.source else ""
        try:
            with torch.no_grad():  # at the end of a fit nobody else sees to that
                result = with_intervals(self.evaluate(features, occasion))
            self.draws[f"{occasion.stage}/{self.name}{suffix}"] = result.draws
            shown = bool(result.metrics) or self.pictured_without_figures
            if occasion.final and directory is not None and shown:
                for name, figure in self.pictures(features, occasion, result).items():
                    key = f"pictures/{occasion.stage}_{name}{suffix}"
                    save_picture(trainer, figure, directory / f"{key}.png", key)
                charts = {f"charts/{occasion.stage}_{name}{suffix}": c for name, c in result.charts.items()}
                save_charts(trainer, charts)
            details = {"n": len(features), **result.details}
            return replace(result, draws={}, charts={}, details=details)  # others have no use for megabytes
        except Exception as error:  # sent on to be raised by all ranks: the others would wait for ever
            return error


def label_names(facts: DataFacts, features: Features) -> tuple[str, ...]:
    """Return the names of the label columns; none for data without labels.

    Raises:
        ValueError: If the data names none, or another number than the labels have columns.
    """
    columns = features.labels.shape[1]
    names = facts.concept_names
    if columns and len(names) != columns:
        raise ValueError(
            f"the labels have {columns} columns but {type(facts).__name__}.concept_names has "
            f"{len(names)}: a data module with labels names their columns, in order"
        )
    return names if columns else ()


def findings_of(facts: DataFacts, names: Sequence[str]) -> tuple[str, ...] | None:
    """Return those of some concepts that are findings, by the catalogue; None where there is none."""
    if facts.catalog is None:
        return None
    return tuple(name for name in names if facts.catalog[name].entity_type not in ("device", "normality"))


def _origin(facts: DataFacts, stage: str, source: str) -> dict[str, str]:
    told = {"split_sha256": facts.split_sha256(stage, source or None), "source": source}
    return {key: value for key, value in told.items() if value}


def _log(module: L.LightningModule, prefix: str, metrics: Mapping[str, float]) -> None:
    for key, value in metrics.items():
        module.log(
            f"{prefix}/{key}",
            value,
            prog_bar=key == "auroc_macro",
            batch_size=1,
            sync_dist=True,  # the ranks hold the same value already: this only spares a warning
            add_dataloader_idx=False,
        )


def require_non_negative(**numbers: int) -> None:
    """Refuse arguments under 0.

    Raises:
        ValueError: If there is one; the message names all that are.
    """
    if below := {name: number for name, number in numbers.items() if number < 0}:
        given = ", ".join(f"{name}={number}" for name, number in below.items())
        raise ValueError(f"{given}: must be at least 0")
