"""One sample, and where samples come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from datamodules.texts.question_writer import Question
from synthesis.cases import Case
from synthesis.reports.report import Report


@dataclass
class Sample:
    """One image and what is known about it, before anything varies.

    Attributes:
        image: uint8 ``(1, height, width)``.
        labels: float32 ``(concept,)``: 1 present, 0 absent, NaN unknown.
        group: Number of the patient.
        view: 0 PA, 1 AP, -1 unknown.
        report: The report, or None for image-only data.
        masks: bool ``(finding, height, width)``, or None.
        mask_concepts: int64 ``(finding,)``, the concept of each mask, or None.
        boxes: float32 ``(box, 4)``, boxes that were drawn as such: see `Batch`; or None.
        box_concepts: int64 ``(box,)``, the concept of each box, or None.
        phrases: What a report says of each mask, "" for nothing; None where no mask has a phrase.
        question: What a table asks about the image, or None.
        case: What a made image shows, or None.
        source: Position of the source among those that are mixed; 0 where there is one.
        companions: Batch key → another sample that belongs to this one, such as its counterfactual twin.
    """

    image: Tensor
    labels: Tensor
    group: int
    view: int
    report: Report | None = None
    masks: Tensor | None = None
    mask_concepts: Tensor | None = None
    boxes: Tensor | None = None
    box_concepts: Tensor | None = None
    phrases: Sequence[str] | None = None
    question: Question | None = None
    case: Case | None = None
    source: int = 0
    companions: Mapping[str, Sample] = field(default_factory=dict)


class SampleSource(Protocol):
    """Where samples come from: made, stored or read."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        ...

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient, ``(samples,)``, without making any sample."""
        ...


@runtime_checkable
class RunSource(SampleSource, Protocol):
    """A source that reads consecutive samples together, such as a file at a time.

    Attributes:
        runs: Lengths of the runs, in order: see `EpochSampler`.
    """

    runs: Sequence[int]


@runtime_checkable
class LabelledSource(SampleSource, Protocol):
    """A source that knows its labels without making or reading any image."""

    def labels(self) -> npt.NDArray[np.float32]:
        """Return the labels of all samples, ``(samples, concept)``: 1 present, 0 absent, NaN unknown."""
        ...
