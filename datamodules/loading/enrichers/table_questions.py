"""The question that a table asks about each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.questions import put_questions
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample


@dataclass
class TableQuestions:
    """Adds ``question``, ``question_kind`` and ``answer``, and encodes the question.

    Attributes:
        texts: Encodes the questions.
    """

    texts: Texts

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        put_questions(batch, [sample.question for sample in samples if sample.question], self.texts)
