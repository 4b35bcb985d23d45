"""One pass over an evaluation set, shared by every callback that measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from callbacks.base.rows import Rows, check_rows, concatenate, on_rank_zero, to_cpu
from datamodules.batch import GROUP, INDEX, LABELS, REPORT, UNKNOWN_VIEW, VIEW, Batch, data_facts
from lightning_modules.evaluation_output import EvaluationOutput

Extractor = Callable[[Batch], Tensor]
"""Turns a batch into one more row of numbers a sample: ``(batch, dim)``, or ``(batch, draws, dim)``."""

Measure = Callable[[Batch, EvaluationOutput], Sequence[Any] | None]
"""Turns a batch and the step's outputs into anything that can be pickled, one a sample; None for nothing."""


@dataclass(frozen=True)
class Features:
    """What an encoder made of one evaluation set: CPU tensors, floats as float32.

    Row ``i`` of every field is the same sample. Rows ascend by sample index and each index stands once, so
    that nothing here depends on the batch size, the order of the loader or the number of ranks.

    Attributes:
        image: L2-normalised image projections, ``(n, projection)``.
        pooled: Pooled image features before the projection, ``(n, dim)``: what a linear probe reads.
        index: Sample index, ``(n,)`` int64, ascending.
        text: L2-normalised report projections, ``(n, projection)``; None for image-only data.
        labels: ``(n, concept)``, 1 present, 0 absent, NaN unknown; no columns if the data has no labels.
        group: Patient of each sample, ``(n,)`` int64; the index where the data names none.
        view: ``(n,)`` int64: 0 PA, 1 AP, -1 unknown.
        reports: Report texts, or None.
        extra: Further feature sets by name, each ``(n, dim)``, or ``(n, draws, dim)`` where it was drawn
            several times: see `FeatureCollector.extractors`.
        measured: What `FeatureCollector.measures` found, by name, one entry a sample.
    """

    image: Tensor
    pooled: Tensor
    index: Tensor
    text: Tensor | None
    labels: Tensor
    group: Tensor
    view: Tensor
    reports: list[str] | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)
    measured: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.index)


class FeatureCollector(L.Callback):
    """Keeps the outputs of the validation and test steps and hands them out as `Features`.

    A step returns an `EvaluationOutput`; labels, index, group, view and report are taken from the batch. The
    pass is gathered on rank zero when the first callback asks for it; shards may be uneven or empty. It is
    kept until the next one, or the end of the run.

    Attributes:
        extractors: Callables by name that turn a batch into an extra feature set; other callbacks add theirs.
        measures: Callables by name that measure something on a batch while it is there (`BatchEvaluation`).
    """

    def __init__(self) -> None:
        self.extractors: dict[str, Extractor] = {}
        self.measures: dict[str, Measure] = {}
        self._batches: dict[int, list[Rows]] = {}
        self._features: dict[int, Features] = {}

    @staticmethod
    def of(trainer: L.Trainer) -> FeatureCollector:
        """Return the collector of a trainer.

        Raises:
            LookupError: If the trainer has none.
        """
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, FeatureCollector):
                return callback
        names = [type(callback).__name__ for callback in trainer.callbacks]  # type: ignore[attr-defined]
        raise LookupError(
            f"trainer.callbacks holds no FeatureCollector (it holds {names}); the evaluation callbacks share "
            "its pass over the data: add `- class_path: callbacks.FeatureCollector` before them"
        )

    def features(self, trainer: L.Trainer, dataloader_idx: int = 0) -> Features:
        """Return the pass just made. Collective: every rank must ask, in the same order.

        Rank zero gets all samples; the others an empty set with the same label columns, so that memory on
        them does not grow with the set.

        Args:
            trainer: The running trainer.
            dataloader_idx: Which of several validation or test loaders.

        Raises:
            LookupError: If that loader gave no samples on any rank.
            ValueError: If features are not finite.
        """
        if dataloader_idx not in self._features:
            rows = on_rank_zero(concatenate(self._batches.pop(dataloader_idx, [])))
            found = None if rows is None else _attempt(rows, dataloader_idx)
            columns = found.labels.shape[1] if isinstance(found, Features) else 0
            told = trainer.strategy.broadcast(found if isinstance(found, Exception) else columns)
            if isinstance(told, Exception):
                raise told
            self._features[dataloader_idx] = found if isinstance(found, Features) else _empty(told)
        return self._features[dataloader_idx]

    def sources(self, trainer: L.Trainer, stage: str) -> tuple[str, ...]:
        """Return the names of the evaluation loaders of this pass, in order.

        Args:
            trainer: The running trainer.
            stage: ``"val"`` or ``"test"``.

        Raises:
            ValueError: If the data names fewer than there are.
        """
        facts = data_facts(trainer)
        names = facts.evaluation_sources(stage)
        if (seen := max(self._batches.keys() | self._features.keys(), default=0)) >= len(names):
            raise ValueError(
                f"batches of {stage} loader {seen} came, but {type(facts).__name__}.evaluation_sources"
                f"({stage!r}) names {list(names)}: it has to name every loader, in order"
            )
        return names

    def _reset(self) -> None:
        self._batches, self._features = {}, {}

    def _collect(self, outputs: object, batch: Any, dataloader_idx: int, module: L.LightningModule) -> None:
        if not isinstance(outputs, EvaluationOutput):
            raise TypeError(
                f"the evaluation step of {type(module).__name__} returned {type(outputs).__name__}; "
                "FeatureCollector reads a lightning_modules.EvaluationOutput (image, pooled, text)"
            )
        rows: Rows = {"image": outputs.image, "pooled": outputs.pooled}
        if outputs.text is not None:
            rows["text"] = outputs.text
        rows |= {name: batch[key] for name, key in _FROM_BATCH.items() if batch.get(key) is not None}
        for name, extract in self.extractors.items():
            rows[f"extra/{name}"] = extract(batch)
        for name, measure in self.measures.items():
            if (measured := measure(batch, outputs)) is not None:
                rows[f"measured/{name}"] = list(measured)
        rows = {name: to_cpu(value) for name, value in rows.items()}
        check_rows(rows)
        self._batches.setdefault(dataloader_idx, []).append(rows)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the previous pass."""
        self._reset()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep one batch, unless this is the sanity check."""
        if not trainer.sanity_checking:
            self._collect(outputs, batch, dataloader_idx, pl_module)

    on_test_batch_end = on_validation_batch_end

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Free the memory."""
        self._reset()

    on_test_end = on_fit_end

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Free the memory, except in a fit, whose end looks at the last pass again."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            self._reset()


_FROM_BATCH = {"labels": LABELS, "index": INDEX, "group": GROUP, "view": VIEW, "reports": REPORT}


def _attempt(rows: Rows, dataloader_idx: int) -> Features | Exception:
    """Return the features of rows, or what is wrong with them: all ranks raise it, none waits for ever."""
    try:
        if not rows:
            raise LookupError(
                f"no samples were seen in dataloader {dataloader_idx} of this evaluation; check its "
                "size and limit_val_batches/limit_test_batches"
            )
        return _finite(_in_order(rows))
    except Exception as error:
        return error


def _empty(label_columns: int) -> Features:
    """Return what ranks other than zero are given."""
    none = torch.empty(0, dtype=torch.long)
    return Features(
        image=torch.empty(0, 0),
        pooled=torch.empty(0, 0),
        index=none,
        text=None,
        labels=torch.empty(0, label_columns),
        group=none,
        view=none,
    )


def _finite(features: Features) -> Features:
    # NaN compares as False: every rank would be the first and every hit a hit.
    for name, value in {"image": features.image, "pooled": features.pooled, "text": features.text}.items():
        wrong = torch.empty(0) if value is None else features.index[~value.isfinite().all(1)]
        if len(wrong):
            raise ValueError(
                f"{name} features of {len(wrong)} of {len(features)} samples are NaN or infinite (first: "
                "index "
                f"{int(wrong[0])}): the model has diverged; lower its learning rate or clip its gradients"
            )
    return features


def _in_order(rows: Rows) -> Features:
    index = rows["index"].long()
    _, first = np.unique(index.numpy(), return_index=True)  # sorted by index, first occurrence of each
    keep = torch.from_numpy(first)
    kept: Rows = {
        name: value[keep] if isinstance(value, Tensor) else [value[i] for i in first]
        for name, value in rows.items()
    }
    index, n = kept["index"].long(), len(first)
    return Features(
        image=kept["image"],
        pooled=kept["pooled"],
        index=index,
        text=kept.get("text"),
        labels=kept.get("labels", torch.empty(n, 0)),
        group=kept.get("group", index).long(),
        view=kept.get("view", torch.full((n,), UNKNOWN_VIEW)).long(),
        reports=kept.get("reports"),
        extra=_below("extra/", kept),
        measured=_below("measured/", kept),
    )


def _below(prefix: str, rows: Rows) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in rows.items() if name.startswith(prefix)}
