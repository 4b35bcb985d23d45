"""What data modules over made pairs share: pairs whose truth is known."""

from __future__ import annotations

from functools import cached_property

from datamodules.batch import MASKS, QUESTION
from datamodules.loading.batch_data_module import BatchDataModule
from datamodules.loading.enrichers import Enricher, Images, Masks, Questions
from datamodules.loading.enrichers.masks import MASK_KEYS
from datamodules.loading.enrichers.questions import QUESTION_KEYS
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import SampleSource
from datamodules.loading.views import Views
from datamodules.texts.question_writer import QuestionWriter
from synthesis.concepts import ConceptCatalog


class MadePairs(BatchDataModule):
    """Made pairs: their cases are known, so masks and questions can be given.

    Evaluation batches hold the masks of the pairs that have any; training batches only where a model needs
    them.

    Args:
        catalog: The concepts, in label order.
        loader: How samples are put into batches.
        views: What training is shown of each sample.
        questions: Asks a closed question about each image where a model or an evaluation needs them; None
            takes the questions shipped.
    """

    least_samples_in_step = 2
    made = True

    def __init__(
        self,
        catalog: ConceptCatalog,
        loader: LoaderOptions = LoaderOptions(),
        views: Views = Views(),
        questions: QuestionWriter | None = None,
    ) -> None:
        super().__init__(catalog, loader, views)
        self._questions = questions

    @cached_property
    def questions(self) -> QuestionWriter:
        """What asks the questions."""
        return self._questions or QuestionWriter(self.catalog.path)

    @property
    def questions_sha256(self) -> str | None:  # type: ignore[override]
        """SHA-256 of the questions' templates, where questions are asked at all."""
        asked = any(QUESTION in self.needs(split) for split in ("train", "val", "test"))
        return self.questions.sha256 if asked else None

    def supplied(self, split: str) -> frozenset[str]:
        """See `BatchDataModule.supplied`."""
        return super().supplied(split) | MASK_KEYS | QUESTION_KEYS

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """See `BatchDataModule.enrichers`."""
        enrichers, texts, needs = super().enrichers(split, source), self.texts(split), self.needs(split)
        augmentation = self.views.augmentation if split == "train" else None
        enrichers.append(Masks(MASKS in needs, augmentation))
        if QUESTION in needs and texts is not None:
            enrichers.append(Questions(self.questions, texts, Images(augmentation)))
        return enrichers

    def keeps_masks(self, split: str) -> bool:
        """Return whether the samples of a split hold masks."""
        return split != "train" or MASKS in self.needs("train")
