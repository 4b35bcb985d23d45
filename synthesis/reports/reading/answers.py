"""Answers without their noun: "none was found", "today there is none", "answer: no", "possibly"."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, cast

from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry

Status: TypeAlias = Literal["present", "absent", "uncertain"]

_BUT = r"(?:and|(?<!anything )(?<!nothing )but|yet|where)\s"
_PARTS = re.compile(
    rf"[,;:?!.]\s+(?:{_BUT})?|\s[-–]\s+|\s{_BUT}|\s(?:though|although|however)\s", re.IGNORECASE
)
_AROUND = " \t.,;:?!-–()"
_LONGEST = 60  # letters of an answer
_TRIED = 3  # parts that an answer may have


class AnswerReader:
    """Finds a clause, or the end of one, that only says of what was named before whether it is there.

    Args:
        entry: Mapping of "absent", "uncertain" and "present" to the answers that mean it.
        classes: Words that stand for a class in them, see `Words.with_classes`.
    """

    def __init__(self, entry: Entry, classes: dict[str, str]) -> None:
        texts = {key: entry.texts(key) for key in ("absent", "uncertain", "present")}
        self._words = {
            key: Words(Words.with_classes(found, classes, entry, key), entry, key)
            for key, found in texts.items()
        }
        entry.close()

    def status(self, clause: str) -> Status | None:
        """Return what a clause answers; None if it is more than an answer, or none."""
        bare = clause.strip(_AROUND)
        if len(bare) > _LONGEST:
            return None
        for status, words in self._words.items():
            if bare and words.fills(bare):
                return cast(Status, status)
        return None

    def at_end(self, sentence: str, named: int) -> tuple[int, Status] | None:
        """Return where the answer at the end of a sentence starts, and what it says; None without one.

        Args:
            sentence: The sentence.
            named: Where the last of its names ends.
        """
        for part in list(_PARTS.finditer(sentence, named))[: -_TRIED - 1 : -1]:
            status = self.status(sentence[part.end() :])
            if status is not None:
                return part.start(), status
        return None
