"""A question about each image, in place of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import (
    ANSWER,
    MASK_CONCEPTS,
    MASKS,
    QUESTION,
    QUESTION_KIND,
    QUESTION_TWIN,
    Batch,
)
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.images import Images
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample
from datamodules.texts.question_writer import Question, QuestionWriter

QUESTION_KEYS = frozenset({QUESTION, QUESTION_KIND, ANSWER})


@dataclass
class Questions:
    """Adds ``question``, ``question_kind`` and ``answer``, and encodes the question instead of the report.

    A sample with a companion ``question_twin`` is asked what is answered otherwise about that one. Which of
    the two is shown depends on epoch and index alone, and changes with the epoch: of two that are asked the
    same, one is to be answered yes and one no, so that words alone are right half the time. Image, labels and
    view are then those of the one shown, and the batch has no masks. About a sample without one, or whose
    companion is no different, a question is asked as it comes.

    Attributes:
        writer: Asks the questions.
        texts: Encodes them.
        images: Changes the images.
    """

    writer: QuestionWriter
    texts: Texts
    images: Images

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`.

        Raises:
            ValueError: If the case of a sample is not known, as of real images.
        """
        shown = [
            sample.companions.get(QUESTION_TWIN, sample) if sum(key) % 2 else sample
            for sample, key in zip(samples, draws.keys, strict=True)
        ]
        asked = [
            self._ask(sample, one, draws, row)
            for row, (sample, one) in enumerate(zip(samples, shown, strict=True))
        ]
        put_questions(batch, asked, self.texts)
        if any(QUESTION_TWIN in sample.companions for sample in samples):
            batch["image"] = self.images.stacked(shown, draws)
            batch["labels"] = torch.stack([sample.labels for sample in shown])
            batch["view"] = torch.tensor([sample.view for sample in shown])
            batch.pop(MASKS, None)
            batch.pop(MASK_CONCEPTS, None)

    def _ask(self, sample: Sample, shown: Sample, draws: Draws, row: int) -> Question:
        if sample.case is None or shown.case is None:
            raise ValueError(
                "questions are asked about made pairs, whose cases are known; a sample has none."
            )
        rng, twin = draws.rng(row, "question"), sample.companions.get(QUESTION_TWIN)
        if twin is not None and twin.case is not None:
            other = twin if shown is sample else sample
            assert other.case is not None
            question = self.writer.ask_apart(shown.case, other.case, rng)
            if question is not None:
                return question
        return self.writer.ask(shown.case, rng)


def put_questions(batch: Batch, asked: Sequence[Question], texts: Texts) -> None:
    """Add questions to a batch.

    Args:
        batch: The batch.
        asked: A question a row.
        texts: Encodes them.
    """
    batch["question"] = [question.text for question in asked]
    batch["question_kind"] = [question.kind for question in asked]
    batch["answer"] = torch.tensor([float(question.answer) for question in asked])
    batch["input_ids"], batch["attention_mask"] = texts.encoded(batch["question"])
