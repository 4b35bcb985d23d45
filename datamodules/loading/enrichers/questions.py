"""A question about each image, in place of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample
from datamodules.texts.question_writer import QuestionWriter


@dataclass
class Questions:
    """Adds ``question``, ``question_kind`` and ``answer``, and encodes the question instead of the report.

    Attributes:
        writer: Asks the questions.
        texts: Encodes them.
    """

    writer: QuestionWriter
    texts: Texts

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`.

        Raises:
            ValueError: If the case of a sample is not known, as of real images.
        """
        if any(sample.case is None for sample in samples):
            raise ValueError(
                "questions are asked about made pairs, whose cases are known; a sample has none."
            )
        asked = [
            self.writer.ask(sample.case, draws.rng(row, "question"))
            for row, sample in enumerate(samples)
            if sample.case is not None
        ]
        batch["question"] = [question.text for question in asked]
        batch["question_kind"] = [question.kind for question in asked]
        batch["answer"] = torch.tensor([float(question.answer) for question in asked])
        batch["input_ids"], batch["attention_mask"] = self.texts.encoded(batch["question"])
