"""The batch: a dict with the keys named here, and nothing else that data and models have to agree on.

Image-only data has no ``INPUT_IDS``, ``ATTENTION_MASK`` and ``REPORT``. ``MASKS`` and ``MASK_CONCEPTS`` are
there only where a data module was asked to keep them; ``BOXES`` and ``BOX_CONCEPTS`` beside them where the
regions of a table are known one by one.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor

IMAGE = "image"
INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
LABELS = "labels"
INDEX = "index"
GROUP = "group"
VIEW = "view"
REPORT = "report"
OTHER_TEXTS = "other_texts"
ASSERTED = "asserted"
DENIED = "denied"
TEXT_LABELS = "text_labels"
OTHER_IMAGES = "other_images"
TWINS = "twins"
LEFT_OUT = "left_out"
MASKS = "masks"
MASK_CONCEPTS = "mask_concepts"
BOXES = "boxes"
BOX_CONCEPTS = "box_concepts"
QUESTION = "question"
QUESTION_KIND = "question_kind"
ANSWER = "answer"

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


class Twins(TypedDict, total=False):
    """The counterfactual twins of a batch, row by row: the same patients with one finding switched off.

    A patient without a twin (nothing to switch off, or a pair that was damaged after it was drawn) stands
    here unchanged.

    Attributes:
        image: As in `Batch`; in training augmented like the pair's own.
        input_ids: As in `Batch`, of the twin's report.
        attention_mask: As in `Batch`.
        labels: As in `Batch`, of the twin.
        report: The texts that ``input_ids`` encode.
        left_out: int64 ``(batch,)``: the finding switched off, in catalogue order; -1 where there is no twin.
    """

    image: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    report: list[str]
    left_out: Tensor


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
        other_images: In training, further augmentations of the same images, each like ``image``.
        twins: Counterfactual twins, where asked for.
        masks: A bool tensor ``(finding, height, width)`` for each sample.
        mask_concepts: An int64 tensor ``(finding,)`` for each sample: the concept, in catalogue order, of
            each mask.
        boxes: A float32 tensor ``(box, 4)`` for each sample, one box a region: centre x, centre y, width,
            height as shares of the image's sides.
        box_concepts: An int64 tensor ``(box,)`` for each sample: the concept of each box.
        question: Where a data module was asked for them, the closed questions that ``input_ids`` encode then.
        question_kind: What each asks for: presence, side, severity …
        answer: float32 ``(batch,)``, 1 yes, 0 no.
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
    masks: list[Tensor]
    mask_concepts: list[Tensor]
    boxes: list[Tensor]
    box_concepts: list[Tensor]
    question: list[str]
    question_kind: list[str]
    answer: Tensor
