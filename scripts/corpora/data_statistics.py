"""What can be counted on a split of any data module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from datamodules.batch import UNKNOWN_VIEW, VIEWS
from datamodules.loading.batch_data_module import BatchDataModule
from datamodules.tables.table_error import TableError
from datamodules.texts.text_view import full_text


@dataclass(frozen=True)
class DataStatistics:
    """Counts on the first samples of a split.

    Attributes:
        size: Samples of the split.
        counted: Samples that the rest was counted on.
        patients: Distinct patients.
        views: View → samples.
        concepts: Concept → samples in which it is present, and absent; in the rest it is unknown.
        words: Words of a report: 5 % quantile, median, 95 % quantile; None without reports.
        distinct_reports: Distinct texts; None without reports.
        grey_mean: Mean over images of the mean grey level, in [0, 1].
        grey_deviation: Standard deviation of it.
        sha256: Of the split.
    """

    size: int
    counted: int
    patients: int
    views: Mapping[str, int]
    concepts: Mapping[str, tuple[int, int]]
    words: tuple[float, float, float] | None
    distinct_reports: int | None
    grey_mean: float
    grey_deviation: float
    sha256: str


def data_module(config: Mapping[str, Any]) -> BatchDataModule:
    """Build a data module from the ``data`` of a resolved configuration, and prepare it; nothing is cached.

    Args:
        config: ``class_path`` and ``init_args``.

    Raises:
        TypeError: If it is of another kind than those of this project.
    """
    arguments = dict(config["init_args"])
    if "cache_dir" in arguments:
        arguments["cache_dir"] = None  # the same pairs, and no need to make those that nobody counts
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parsed = parser.parse_object({"data": {"class_path": config["class_path"], "init_args": arguments}})
    data = parser.instantiate(parsed).data
    if not isinstance(data, BatchDataModule):
        raise TypeError(f"{config['class_path']} is no BatchDataModule: there is nothing to count on")
    data.prepare_data()
    return data


def measured(data: BatchDataModule, split: str, most: int) -> DataStatistics | None:
    """Count on the first samples of a split.

    Args:
        data: A prepared data module.
        split: "train", "val" or "test".
        most: At most so many samples are looked at, ≥ 1.

    Returns:
        The counts; None where a table has no images in that split.
    """
    try:
        source = data.source(split)
    except TableError:
        return None
    samples = source.samples(range(min(most, len(source))))
    labels = np.stack([sample.labels.numpy() for sample in samples])
    texts = [full_text(sample.report) for sample in samples if sample.report is not None]
    words = np.quantile([len(text.split()) for text in texts], [0.05, 0.5, 0.95]) if texts else None
    grey = [float(sample.image.float().mean()) / 255 for sample in samples]
    views = Counter("unknown" if s.view == UNKNOWN_VIEW else VIEWS[s.view] for s in samples)
    present, absent = (labels == 1).sum(0), (labels == 0).sum(0)
    return DataStatistics(
        size=len(source),
        counted=len(samples),
        patients=len({sample.group for sample in samples}),
        views=dict(sorted(views.items())),
        concepts={name: (int(present[i]), int(absent[i])) for i, name in enumerate(data.concept_names)},
        words=None if words is None else (float(words[0]), float(words[1]), float(words[2])),
        distinct_reports=len(set(texts)) if texts else None,
        grey_mean=float(np.mean(grey)),
        grey_deviation=float(np.std(grey)),
        sha256=data.split_sha256(split),
    )
