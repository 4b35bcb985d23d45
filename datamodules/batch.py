"""The seam between data and models: the batch, a dict with the keys named here, and the facts of the data.

Image-only data has no ``INPUT_IDS``, ``ATTENTION_MASK`` and ``REPORT``. ``MASKS`` and ``MASK_CONCEPTS`` are
in evaluation where the data know them, and in training where a model needs them; ``BOXES`` and
``BOX_CONCEPTS`` beside them where the regions of a table are known one by one. ``SOURCE`` is there where
several sources are mixed.

Who needs a key that not every batch has says so (`NeedsKeys`), and the data module supplies it or refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from synthesis.concepts import ConceptCatalog

IMAGE: Final = "image"
INPUT_IDS: Final = "input_ids"
ATTENTION_MASK: Final = "attention_mask"
LABELS: Final = "labels"
INDEX: Final = "index"
GROUP: Final = "group"
VIEW: Final = "view"
REPORT: Final = "report"
CLAIMS: Final = "claims"
OTHER_TEXTS: Final = "other_texts"
ASSERTED: Final = "asserted"
DENIED: Final = "denied"
TEXT_LABELS: Final = "text_labels"
OTHER_IMAGES: Final = "other_images"
TwinKey = Literal["twins", "swapped_twins", "mirrored_twins"]
TWINS: TwinKey = "twins"
SWAPPED_TWINS: TwinKey = "swapped_twins"
MIRRORED_TWINS: TwinKey = "mirrored_twins"
TWIN_PROMPTS: Final = "twin_prompts"
SIDES_EXCHANGED: Final = "sides_exchanged"
LEFT_OUT: Final = "left_out"
MASKS: Final = "masks"
MASK_CONCEPTS: Final = "mask_concepts"
ORGANS: Final = "organs"
PHRASES: Final = "phrases"
BOXES: Final = "boxes"
BOX_CONCEPTS: Final = "box_concepts"
QUESTION: Final = "question"
QUESTION_KIND: Final = "question_kind"
ANSWER: Final = "answer"
QUESTION_TWIN: Final = "question_twin"
SOURCE: Final = "source"
PRIOR: Final = "prior"
CHANGE: Final = "change"
RENDERING: Final = "rendering"
FAULTS: Final = "faults"

VIEWS = ("PA", "AP")
"""Views in the order of their codes: ``VIEW`` holds the position in this tuple."""

UNKNOWN_VIEW = -1


class EncodedTexts(TypedDict, total=False):
    """One text a sample, see `Batch`.

    Attributes:
        input_ids: As in `Batch`.
        attention_mask: As in `Batch`.
        asserted: float32 ``(batch, concept)``, 1 for what each text says is present; where asked for.
        denied: The same for what it says is absent.
    """

    input_ids: Tensor
    attention_mask: Tensor
    asserted: Tensor
    denied: Tensor


class ExchangedTexts(TypedDict):
    """The texts of a batch with left and right exchanged, row by row.

    Attributes:
        input_ids: As in `Batch`.
        attention_mask: As in `Batch`.
        contradicts: bool ``(batch,)``, whether the text became false: it says that a finding is on one side.
    """

    input_ids: Tensor
    attention_mask: Tensor
    contradicts: Tensor


class Twins(TypedDict, total=False):
    """The counterfactual twins of a batch, row by row: the same patients with one finding otherwise.

    ``twins`` lack it; ``swapped_twins`` show another in its place, ``mirrored_twins`` show it on the other
    side.

    A patient without a twin (nothing to switch off, or a pair that was damaged after it was drawn) stands
    here unchanged.

    Attributes:
        image: As in `Batch`; in training augmented like the pair's own.
        input_ids: As in `Batch`, of the twin's report.
        attention_mask: As in `Batch`.
        labels: As in `Batch`, of the twin.
        report: The texts that ``input_ids`` encode.
        left_out: int64 ``(batch,)``: the pair's finding that the twin lacks or shows otherwise, in catalogue
            order; -1 where there is no twin.
    """

    image: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    report: list[str]
    left_out: Tensor


class TwinPrompts(TypedDict):
    """Prompts of the catalogue for the finding that each twin lacks; of any where there is no twin.

    Attributes:
        present: One that asserts it.
        absent: One that denies it.
    """

    present: EncodedTexts
    absent: EncodedTexts


class Batch(TypedDict, total=False):
    """What a loader yields.

    Attributes:
        image: float32 ``(batch, 1, height, width)`` in [0, 1], air dark, the patient's right on the viewer's
            left.
        input_ids: int64 ``(batch, tokens)``, padded to the longest text of the batch, rounded up to a
            multiple of 8.
        attention_mask: int64 ``(batch, tokens)``, 1 for tokens, 0 for padding.
        labels: float32 ``(batch, concept)`` in catalogue order: 1 present, 0 absent, NaN unknown.
        index: int64 ``(batch,)``, number of the sample in its split.
        group: int64 ``(batch,)``, the patient; for made pairs the index.
        view: int64 ``(batch,)``: 0 PA, 1 AP, -1 unknown.
        report: The texts that ``input_ids`` encode.
        other_texts: In training, further texts of the same reports (`datamodules.texts.text_view.TextView`).
        text_labels: In training on unpaired data: the labels, as in ``labels``, of the texts, which are then
            those of other patients than the images.
        other_images: In training, further views of the same samples, each like ``image``: augmentations, or
            where the data was asked for them (``views.renderings``) other renderings of the same cases, which
            data modules know among themselves as ``rendering``.
        twins: Counterfactual twins without one finding, where asked for.
        swapped_twins: Twins with another finding in its place, where asked for.
        mirrored_twins: Twins with it on the other side, where asked for.
        twin_prompts: Where asked for, prompts of the finding that each of ``twins`` lacks.
        sides_exchanged: In training, where asked for, ``report`` with left and right exchanged.
        masks: A bool tensor ``(finding, height, width)`` for each sample.
        mask_concepts: An int64 tensor ``(finding,)`` for each sample: the concept, in catalogue order, of
            each mask.
        phrases: Of a table's regions, what a report says of each mask; "" for nothing.
        organs: Where asked for, bool ``(batch, organ, height, width)``, the masks of
            `synthesis.organ_names.ORGANS`.
        boxes: A float32 tensor ``(box, 4)`` for each sample, one box a region: centre x, centre y, width,
            height as shares of the image's sides.
        box_concepts: An int64 tensor ``(box,)`` for each sample: the concept of each box.
        question: Where a data module was asked for them, the closed questions that ``input_ids`` encode then.
        question_kind: What each asks for: presence, side, severity …
        answer: float32 ``(batch,)``, 1 yes, 0 no.
        prior: float32 like ``image``: an earlier radiograph of the same patient, where asked for.
        change: float32 ``(batch, concept)``: of each graded finding of ``image``, whether it is less severe
            than in ``prior`` (0), as severe (1) or more so (2); NaN for all else.
        source: int64 ``(batch,)``: of mixed data, the position of each sample's source among the sources.
        faults: In prediction on files that nobody has looked at: for each sample None, or kind and reason of
            what is wrong with its file. Its image is black then, and means nothing.
    """

    image: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    index: Tensor
    group: Tensor
    view: Tensor
    report: list[str]
    other_texts: list[EncodedTexts]
    text_labels: Tensor
    other_images: list[Tensor]
    twins: Twins
    swapped_twins: Twins
    mirrored_twins: Twins
    twin_prompts: TwinPrompts
    sides_exchanged: ExchangedTexts
    masks: list[Tensor]
    mask_concepts: list[Tensor]
    phrases: list[list[str]]
    organs: Tensor
    boxes: list[Tensor]
    box_concepts: list[Tensor]
    claims: list[str]
    question: list[str]
    question_kind: list[str]
    answer: Tensor
    prior: Tensor
    change: Tensor
    source: Tensor
    faults: list[tuple[str, str] | None]


@runtime_checkable
class NeedsKeys(Protocol):
    """A model that needs keys which not every batch has: data supply them or refuse at setup."""

    def needs(self, stage: str) -> frozenset[str]:
        """Return the keys that batches must hold.

        Args:
            stage: "train", "val" or "test".
        """
        ...


@runtime_checkable
class DataFacts(Protocol):
    """What models and callbacks may ask of a data module, beside its batches.

    Attributes:
        tokenizer: What encodes the reports, a `transformers.PreTrainedTokenizerBase`; None for image-only
            data. Settable: outside training a model reads the reports of any data with its own words.
    """

    tokenizer: Any

    @property
    def concept_names(self) -> tuple[str, ...]:
        """Names of the label columns, in order; empty for data without labels."""
        ...

    @property
    def catalog(self) -> ConceptCatalog | None:
        """The concepts with their prompts; None where there is no catalogue."""
        ...

    @property
    def made(self) -> bool:
        """Whether the pairs are made, all of them, rather than real."""
        ...

    @property
    def augmented(self) -> bool:
        """Whether a training image looks different each time it is shown."""
        ...

    @property
    def questions_sha256(self) -> str | None:
        """SHA-256 of the templates of the questions that batches hold; None where they hold none."""
        ...

    @property
    def phrases(self) -> Sequence[tuple[str, str]]:
        """Concept and phrase of all regions that have one, each once; none where the data know no phrases."""
        ...

    def claims(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return which concepts texts assert and which they deny: float32 0/1 ``(text, concept)`` each."""
        ...

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of what a split consists of; ``""`` where that is not known.

        Args:
            split: "train", "val" or "test".
            source: One of `evaluation_sources`; None for the first.
        """
        ...

    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        """Return the names of the loaders of "val" or "test", in order; ``("",)`` for one unnamed."""
        ...


@runtime_checkable
class NamedImages(Protocol):
    """What a data module says of images that are predicted on: each by its number, ``index`` in batches."""

    def image_count(self) -> int:
        """Return how many images there are, of all processes."""
        ...

    def image_name(self, index: int) -> str:
        """Return the name that predictions of an image stand under."""
        ...

    def picture(self, index: int, side: int) -> Tensor | None:
        """Return an image to be looked at, framed as the model sees it: uint8 ``(1, side, side)``.

        None where there is nothing finer than what is in the batch.
        """
        ...

    def candidate_reports(self) -> Sequence[str]:
        """Return the reports among which those nearest to an image are looked for; none if not asked for."""
        ...

    def images_sha256(self) -> str:
        """Return the SHA-256 of the names in their order: processes must agree on it."""
        ...


@runtime_checkable
class CountsLabels(Protocol):
    """A data module that can tell, before samples are read, how many labels of each kind there may be."""

    def most_labels(self, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return how many positives and how many negatives of each concept a split holds at most.

        Args:
            split: "train", "val" or "test", of the first of its sources.

        Returns:
            ``(concept,)`` each, in label order.
        """
        ...


class PlainLoaders:
    """The facts of loaders that come without a data module: nothing is known of them. See `DataFacts`."""

    tokenizer: Any = None
    concept_names: tuple[str, ...] = ()
    catalog: ConceptCatalog | None = None
    made = False
    augmented = False
    questions_sha256: str | None = None
    phrases: Sequence[tuple[str, str]] = ()

    def claims(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Refuse: there is no catalogue to read texts by.

        Raises:
            TypeError: Always.
        """
        raise TypeError("loaders without a data module know no concepts: give the trainer a datamodule")

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return nothing."""
        return ""

    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        """Return one unnamed source."""
        return ("",)


def data_facts(trainer: Trainer) -> DataFacts:
    """Return what a trainer's data module states of its data: the only place that looks there.

    Args:
        trainer: A running trainer. With plain loaders instead of a data module, nothing is known.

    Raises:
        TypeError: If the data module leaves a fact open; the message names all that are missing.
    """
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    if datamodule is None:
        return PlainLoaders()
    missing = [name for name in _FACTS if getattr_static(datamodule, name, _MISSING) is _MISSING]
    if missing:
        raise TypeError(
            f"{type(datamodule).__name__} does not say {', '.join(missing)}: models and callbacks ask a data "
            "module for what `datamodules.batch.DataFacts` lists; inherit "
            "`datamodules.loading.batch_data_module.BatchDataModule`, or add what is missing"
        )
    return cast(DataFacts, datamodule)


_MISSING = object()
_FACTS = sorted({*DataFacts.__annotations__, *(name for name in vars(DataFacts) if not name.startswith("_"))})


def subset_of_patients(group: npt.NDArray[np.int64], fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a share of the patients: those whose labels a model, or a probe, may learn from.

    Patients are taken in the order of a hash of seed and patient, so that a smaller share is part of a larger
    one, and adding samples of other patients only moves the edge.

    Args:
        group: Patient of each sample, ``(n,)``.
        fraction: The share, in (0, 1]; at least two patients are taken, if there are two.
        seed: Other seeds, other patients.

    Returns:
        Whether each sample belongs to them, ``(n,)``.
    """
    patients, patient = np.unique(group, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}:{int(number)}".encode()).digest() for number in patients]
    rank = np.argsort(np.argsort(digests, kind="stable"))
    return np.asarray(rank[patient] < max(2, round(fraction * len(patients))))
