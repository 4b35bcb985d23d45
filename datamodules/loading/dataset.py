"""From samples to whole batches, made in one call by one worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batch import Batch, EncodedTexts, Twins
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.samplers import Key
from datamodules.texts.claim_reader import ClaimReader
from datamodules.texts.question_writer import QuestionWriter
from datamodules.texts.text_view import TextView, full_text
from datamodules.texts.tokenizer import encode
from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.reports.report import Report
from synthesis.seeding import generator, pair_seed

if TYPE_CHECKING:
    from transformers import BertTokenizerFast


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
        twin: The same patient with one finding switched off, or as it is where that cannot be; or None.
        left_out: The finding switched off, in catalogue order; -1 for none.
        case: What a made image shows, or None.
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
    twin: Sample | None = None
    left_out: int = -1
    case: Case | None = None


class SampleSource(Protocol):
    """Where samples come from: made, cached or read."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        ...

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient, ``(samples,)``, without making any sample."""
        ...


class BatchDataset(Dataset[Batch]):
    """Turns samples into batches. What varies is a pure function of (seed, epoch, index).

    A key is (epoch, index), or an index alone, which means epoch 0.

    Args:
        source: Where the samples come from.
        tokenizer: Encodes the reports; needed where there are any.
        max_length: Longest text in tokens.
        seed: Seed of what varies.
        augmentation: Changes the images; None leaves them.
        text_views: Each chooses a text of a report; None reads all of it.
        catalog: The concepts, needed where a view asks for claims.
        image_views: Augmentations of each image, ≥ 1.
        unpaired: Whether the texts are those of other samples, drawn anew in every epoch.
        questions: Asks a question about each made image, which is then encoded instead of its report.
    """

    def __init__(
        self,
        source: SampleSource,
        tokenizer: BertTokenizerFast | None,
        max_length: int,
        seed: int,
        augmentation: Augmentation | None = None,
        text_views: Sequence[TextView] | None = None,
        catalog: ConceptCatalog | None = None,
        image_views: int = 1,
        unpaired: bool = False,
        questions: QuestionWriter | None = None,
    ) -> None:
        self.source = source
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.seed = seed
        self.augmentation = augmentation
        self.text_views = text_views
        self.catalog = catalog
        self.image_views = image_views
        self.unpaired = unpaired
        self.questions = questions

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)

    def __getitem__(self, key: Key | int) -> Batch:
        """Return a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key | int]) -> Batch:
        """Return the batch of some keys."""
        pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
        samples = self.source.samples([index for _, index in pairs])
        batch = Batch(
            image=torch.stack([self._image(s.image, *key) for s, key in zip(samples, pairs, strict=True)]),
            labels=torch.stack([sample.labels for sample in samples]),
            index=torch.tensor([index for _, index in pairs]),
            group=torch.tensor([sample.group for sample in samples]),
            view=torch.tensor([sample.view for sample in samples]),
        )
        if self.image_views > 1:
            batch["other_images"] = [
                torch.stack([self._image(s.image, *key, view) for s, key in zip(samples, pairs, strict=True)])
                for view in range(1, self.image_views)
            ]
        if self.tokenizer is not None:
            told = self._told(samples, pairs)
            views = [self._texts(s.report, *key) for s, key in zip(told, pairs, strict=True) if s.report]
            first, *others = map(list, zip(*views, strict=True))
            batch["input_ids"], batch["attention_mask"] = encode(self.tokenizer, first, self.max_length)
            batch["report"] = first
            if self.unpaired:
                batch["text_labels"] = torch.stack([sample.labels for sample in told])
            if others:
                assert self.text_views is not None
                batch["other_texts"] = [
                    self._encoded(texts, view.claims)
                    for texts, view in zip(others, self.text_views[1:], strict=True)
                ]
        if samples[0].masks is not None:
            batch["masks"] = [sample.masks for sample in samples if sample.masks is not None]
            batch["mask_concepts"] = [s.mask_concepts for s in samples if s.mask_concepts is not None]
        if samples[0].boxes is not None:
            batch["boxes"] = [sample.boxes for sample in samples if sample.boxes is not None]
            batch["box_concepts"] = [s.box_concepts for s in samples if s.box_concepts is not None]
        if samples[0].twin is not None:
            batch["twins"] = self._twins(samples, pairs)
        if self.questions is not None:
            self._ask(batch, samples, pairs)
        return batch

    def _told(self, samples: list[Sample], keys: Sequence[Key]) -> list[Sample]:
        """Return the samples whose reports are read."""
        if not self.unpaired:
            return samples
        others = [int(self._rng(*key, "unpaired").integers(len(self.source))) for key in keys]
        return self.source.samples(others)

    def _twins(self, samples: list[Sample], keys: Sequence[Key]) -> Twins:
        """Return the twins of a batch; image and first text vary as those of the pair itself do."""
        assert self.tokenizer is not None
        twins = [sample.twin for sample in samples if sample.twin is not None]
        texts = [self._texts(t.report, *key)[0] for t, key in zip(twins, keys, strict=True) if t.report]
        ids, mask = encode(self.tokenizer, texts, self.max_length)
        return Twins(
            image=torch.stack([self._image(t.image, *key) for t, key in zip(twins, keys, strict=True)]),
            input_ids=ids,
            attention_mask=mask,
            labels=torch.stack([twin.labels for twin in twins]),
            report=texts,
            left_out=torch.tensor([sample.left_out for sample in samples]),
        )

    def _ask(self, batch: Batch, samples: Sequence[Sample], keys: Sequence[Key]) -> None:
        """Put a question about each sample into the batch, in the place of its report."""
        assert self.questions is not None and self.tokenizer is not None
        asked = [
            self.questions.ask(sample.case, self._rng(*key, "question"))
            for sample, key in zip(samples, keys, strict=True)
            if sample.case is not None
        ]
        batch["question"] = [question.text for question in asked]
        batch["question_kind"] = [question.kind for question in asked]
        batch["answer"] = torch.tensor([float(question.answer) for question in asked])
        encoded = encode(self.tokenizer, batch["question"], self.max_length)
        batch["input_ids"], batch["attention_mask"] = encoded

    def _image(self, image: Tensor, epoch: int, index: int, view: int = 0) -> Tensor:
        if self.augmentation is None:
            return image.float().div_(255)
        purpose = f"augmentation {view}" if view else "augmentation"
        return self.augmentation(image, self._rng(epoch, index, purpose))

    def _texts(self, report: Report, epoch: int, index: int) -> list[str]:
        if self.text_views is None:
            return [full_text(report)]
        rng = self._rng(epoch, index, "text")
        return [view(report, rng) for view in self.text_views]

    def _encoded(self, texts: Sequence[str], claims: bool) -> EncodedTexts:
        assert self.tokenizer is not None
        ids, mask = encode(self.tokenizer, texts, self.max_length)
        encoded = EncodedTexts(input_ids=ids, attention_mask=mask)
        if claims:
            encoded["asserted"], encoded["denied"] = self._reader.read(texts)
        return encoded

    @cached_property
    def _reader(self) -> ClaimReader:
        if self.catalog is None:
            raise ValueError(
                "text_views ask for claims, but this data has no concept catalogue to read them by"
            )
        return ClaimReader(self.catalog)

    def _rng(self, epoch: int, index: int, purpose: str) -> np.random.Generator:
        return generator(pair_seed(self.seed, f"epoch {epoch}", index), purpose)
