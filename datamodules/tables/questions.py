"""Closed questions of a table: a row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from datamodules.tables.bad_row import BadRow
from datamodules.tables.packed import PackedStrings
from datamodules.texts.question_writer import Question

if TYPE_CHECKING:
    import pandas as pd

ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class QuestionColumns:
    """Where the closed questions of a table stand: a row each, so that an image may stand in several.

    Attributes:
        question: The question.
        answer: "yes" or "no", in capitals or not.
        kind: What is asked for, which accuracy is also given by; None calls all of them "closed".
        kinds: What stands there, in capitals or not → what it is called; anything else is an error. None
            takes what stands there. Of several that are separated by commas, the first counts.
    """

    question: str
    answer: str
    kind: str | None = None
    kinds: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse kinds without a column.

        Raises:
            ValueError: If there are some.
        """
        if self.kinds is not None and self.kind is None:
            raise ValueError("questions.kinds: no column that they stand in; give questions.kind as well.")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns named here."""
        return (self.question, self.answer, *((self.kind,) if self.kind else ()))

    def kind_of(self, cells: str) -> str | None:
        """Return what a kind is called; None if it is not known."""
        first, *others = [cell.strip().lower() for cell in cells.split(",")]
        if self.kinds is None:
            return first or None
        known = {kind.lower(): name for kind, name in self.kinds.items()}
        return known.get(first) if all(other in known for other in others) else None


class PackedQuestions:
    """The questions of the usable rows of a table, in arrays that worker processes share.

    Args:
        frame: The rows.
        columns: Where the questions stand.
    """

    def __init__(self, frame: pd.DataFrame, columns: QuestionColumns) -> None:
        self._texts = PackedStrings(" ".join(text.split()) for text in frame[columns.question])
        self.answers: npt.NDArray[np.bool_] = np.array(
            [ANSWERS[answer.lower()] for answer in frame[columns.answer]], bool
        )
        self._kinds = PackedStrings(_kinds(frame, columns))

    def __getitem__(self, row: int) -> Question:
        """Return a question, by the position of its row."""
        return Question(self._texts[row], bool(self.answers[row]), self._kinds[row])


def _kinds(frame: pd.DataFrame, columns: QuestionColumns) -> Iterator[str]:
    for cell in frame[columns.kind] if columns.kind else [""] * len(frame):
        yield (columns.kind_of(cell) or "") if columns.kind else "closed"


def bad_questions(frame: pd.DataFrame, image: str, columns: QuestionColumns) -> list[BadRow]:
    """Return the rows whose question, answer or kind cannot be used.

    Args:
        frame: The table.
        image: The column that names the image.
        columns: Where the questions stand.

    Returns:
        These rows, and those that repeat an earlier one, which are kept.
    """
    bad: list[BadRow] = []

    def note(row: int, column: str, kind: str, reason: str, kept: bool = False) -> None:
        bad.append(BadRow(row, images[row], column, texts[column][row][:80], kind, reason, kept))

    images, texts = frame[image], {name: frame[name] for name in columns.names}
    first: dict[tuple[str, str], int] = {}
    for row, question, answer in zip(
        map(int, frame.index), texts[columns.question], texts[columns.answer], strict=True
    ):
        if not question:
            note(row, columns.question, "no question", "asks nothing; write the question, or take it out.")
        if answer.lower() not in ANSWERS:
            reason = (
                "is neither yes nor no, as closed questions are answered here; correct it, or leave such "
                "questions out."
            )
            note(row, columns.answer, "answer neither yes nor no", reason)
        if columns.kind and columns.kind_of(texts[columns.kind][row]) is None:
            known = f"one of {list(columns.kinds)}" if columns.kinds is not None else "one"
            reason = f"is no known type of question; give {known}, or add it to questions.kinds."
            note(row, columns.kind, "unknown question type", reason)
        other = first.setdefault((images[row], " ".join(question.lower().split())), row)
        if other != row and texts[columns.answer][other].lower() != answer.lower():
            reason = f"answers what row {other} asks of the same image otherwise; correct one of them."
            note(row, columns.answer, "question answered otherwise before", reason)
        elif other != row:
            reason = f"is asked of the same image in row {other} already; both count."
            note(row, columns.question, "question asked twice", reason, kept=True)
    return bad
