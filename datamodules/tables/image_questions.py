"""A user's own images with closed questions: for visual question answering."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from datamodules.loading.enrichers import Enricher, TableQuestions
from datamodules.loading.enrichers.questions import QUESTION_KEYS
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import SampleSource
from datamodules.tables.questions import QuestionColumns
from datamodules.tables.table_error import TableError
from datamodules.tables.tokenized_table import TokenizedTable

log = logging.getLogger(__name__)


class ImageQuestions(TokenizedTable):
    """Closed questions about images, a row of the table each, and a sample each in training and evaluation.

    Patients (images, where these are not known) are dealt out to the splits, so that no image is asked about
    in two of them.

    Args:
        questions: Where the questions stand.
        **kwargs: Arguments of `TokenizedTable` and `TableImages`.
    """

    def __init__(self, questions: QuestionColumns, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.columns.texts:
            raise ValueError(
                f"columns: {self.columns.texts[0]!r} is report text, which is not read beside questions; "
                "leave it out."
            )
        self.reader = replace(self.reader, questions=questions)

    @property
    def has_texts(self) -> bool:
        """Whether the samples have reports: there are questions alone."""
        return False

    @property
    def questions_sha256(self) -> str:  # type: ignore[override]
        """SHA-256 of all questions and answers."""
        asked = self._rows.questions
        assert asked is not None
        lines = sorted(repr(asked[row]) for row in range(len(self._rows)))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def prepare_source(self, splits: Sequence[str]) -> None:
        """See `TableImages.prepare_source`; also looks for both answers.

        Raises:
            TableError: If all training questions have one answer.
        """
        super().prepare_source(splits)
        assert self._rows.questions is not None
        for split in self.splits_in_use():
            answers = self._rows.questions.answers[self._rows.split == split]
            if len(np.unique(answers)) == 1:
                word = "yes" if answers[0] else "no"
                text = (
                    f"{self.table}: all {len(answers):,} questions of split {split!r} are answered {word!r}, "
                    f"so that whoever says {word} is right. Give questions with both answers, or other "
                    "shares in `splits`."
                )
                if split == "train":
                    raise TableError(text)
                log.warning("%s", text)

    def supplied(self, split: str) -> frozenset[str]:
        """See `BatchDataModule.supplied`."""
        return super().supplied(split) | QUESTION_KEYS

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """See `BatchDataModule.enrichers`."""
        found = super().enrichers(split, source)
        if self.tokenizer is not None:
            found.append(TableQuestions(Texts(self.tokenizer, self.views.max_length, self.catalog)))
        return found

    def texts(self, split: str) -> None:
        """Return nothing: see `BatchDataModule.texts`; there are no reports."""

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the training questions."""
        assert self._rows.questions is not None
        for row in np.flatnonzero(self._rows.split == "train").tolist():
            yield self._rows.questions[row].text
