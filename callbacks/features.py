"""One pass over an evaluation set, shared by every callback that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from datamodules.batch import GROUP, INDEX, LABELS, REPORT, UNKNOWN_VIEW, VIEW

Extractor = Callable[[Mapping[str, Any]], Tensor]
"""Turns a batch into one more row of numbers a sample: ``(batch, dim)``."""

_Rows = dict[str, Any]  # column name -> Tensor (rows, ...) or list of str


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
        extra: Further feature sets by name, each ``(n, dim)``: see `FeatureCollector.extractors`.
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

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.index)


class FeatureCollector(L.Callback):
    """Keeps the outputs of the validation and test steps and hands them out as `Features`.

    A step returns ``{"image": (b, projection), "image_pooled": (b, dim)}`` and, when the batch has reports,
    ``"text"``; labels, index, group, view and report are taken from the outputs or else from the batch. The
    pass is gathered over ranks when the first callback asks for it; shards may be uneven or empty.

    Attributes:
        extractors: Callables by name that turn a batch into an extra feature set; other callbacks add theirs.
    """

    def __init__(self) -> None:
        self.extractors: dict[str, Extractor] = {}
        self._batches: dict[int, list[_Rows]] = {}
        self._features: dict[int, Features] = {}

    @staticmethod
    def of(trainer: L.Trainer) -> FeatureCollector:
        """Finds the collector of a trainer.

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
        """The pass just made. Collective: every rank must ask, in the same order.

        Args:
            trainer: The running trainer.
            dataloader_idx: Which of several validation or test loaders.

        Raises:
            LookupError: If that loader gave no samples on any rank.
            ValueError: If features are not finite.
        """
        if dataloader_idx not in self._features:
            shard = _concatenate(self._batches.pop(dataloader_idx, []))
            shards = _all_gather(shard) if trainer.world_size > 1 else [shard]
            rows = _concatenate([shard for shard in shards if shard])
            if not rows:
                raise LookupError(
                    f"no samples were seen in dataloader {dataloader_idx} of this evaluation; check its "
                    "size, limit_val_batches/limit_test_batches and the callback's dataloader_idx"
                )
            self._features[dataloader_idx] = _finite(_in_order(rows))
        return self._features[dataloader_idx]

    def _reset(self) -> None:
        self._batches, self._features = {}, {}

    def _collect(
        self, outputs: STEP_OUTPUT, batch: Any, dataloader_idx: int, module: L.LightningModule
    ) -> None:
        if not isinstance(outputs, Mapping) or not {"image", "image_pooled"} <= outputs.keys():
            got = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
            raise ValueError(
                f"the evaluation step of {type(module).__name__} returned {got}; FeatureCollector needs a "
                "dict with 'image' (projected) and 'image_pooled'"
            )
        rows: _Rows = {"image": outputs["image"], "pooled": outputs["image_pooled"]}
        if outputs.get("text") is not None:
            rows["text"] = outputs["text"]
        for name, key in _FROM_BATCH.items():
            value = outputs.get(key, batch.get(key))
            if value is not None:
                rows[name] = value
        for name, extract in self.extractors.items():
            rows[f"extra/{name}"] = extract(batch)
        rows = {name: _to_cpu(value) for name, value in rows.items()}
        _check_rows(rows)
        self._batches.setdefault(dataloader_idx, []).append(rows)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the previous pass."""
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
        """Keeps one batch, unless this is the sanity check."""
        if not trainer.sanity_checking:
            self._collect(outputs, batch, dataloader_idx, pl_module)

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Frees the memory."""
        self._reset()

    on_test_end = on_validation_end


_FROM_BATCH = {"labels": LABELS, "index": INDEX, "group": GROUP, "view": VIEW, "reports": REPORT}


def _to_cpu(value: Tensor | list[str]) -> Tensor | list[str]:
    if not isinstance(value, Tensor):
        return list(value)
    value = value.detach().cpu()
    return value.float() if value.is_floating_point() else value


def _check_rows(rows: _Rows) -> None:
    if "index" not in rows:
        raise ValueError(
            f"neither the step's outputs nor the batch has {INDEX!r}: samples cannot be told apart, so "
            "duplicates from uneven ranks cannot be dropped; return it from the step or put it in the batch"
        )
    sizes = {name: len(value) for name, value in rows.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"rows of one batch differ in number: {sizes}")


def _concatenate(parts: list[_Rows]) -> _Rows:
    if not parts:
        return {}
    columns = [set(part) for part in parts]
    if any(other != columns[0] for other in columns):
        varying = sorted(columns[0].union(*columns) - columns[0].intersection(*columns))
        raise ValueError(f"{varying} stand in some batches of an evaluation set and not in others")
    return {name: _join([part[name] for part in parts]) for name in parts[0]}


def _join(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return [text for part in values for text in part]


def _all_gather(shard: _Rows) -> list[_Rows]:
    # Pickled objects, because shards differ in length and hold text; a few tens of MB at most.
    shards: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shards, shard)
    return shards


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


def _in_order(rows: _Rows) -> Features:
    index = rows["index"].long()
    _, first = np.unique(index.numpy(), return_index=True)  # sorted by index, first occurrence of each
    keep = torch.from_numpy(first)
    texts = rows.pop("reports", None)
    kept = {name: value[keep] for name, value in rows.items()}
    index, n = kept["index"].long(), len(first)
    return Features(
        image=kept["image"],
        pooled=kept["pooled"],
        index=index,
        text=kept.get("text"),
        labels=kept.get("labels", torch.empty(n, 0)),
        group=kept.get("group", index).long(),
        view=kept.get("view", torch.full((n,), UNKNOWN_VIEW)).long(),
        reports=None if texts is None else [texts[i] for i in first],
        extra={
            name.removeprefix("extra/"): value for name, value in kept.items() if name.startswith("extra/")
        },
    )
