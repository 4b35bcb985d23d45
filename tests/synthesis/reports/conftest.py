"""A language model that says what it is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from synthesis.reports.language_model.chat_model import Message


class Parrot:
    """Says what a prompt of `sentences.yaml` tells, unless it is told to say something else."""

    version = 1

    def __init__(self, change: Callable[[str, int], str] = lambda answer, seed: answer) -> None:
        self.change = change
        self.asked: list[tuple[list[Message], int]] = []

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        self.asked += [(list(c), seed) for c, seed in zip(conversations, seeds, strict=True)]
        return [self.change(told(c[-1]["content"]), s) for c, s in zip(conversations, seeds, strict=True)]

    def describe(self) -> dict[str, str]:
        return {}


def told(question: str) -> str:
    """The answer that the examples of `sentences.yaml` show."""
    if match := re.search(r"^Finding: (.*)$", question, re.MULTILINE):
        return f"There is {match[1]}."
    if match := re.search(r"^Absent: (.*)$", question, re.MULTILINE):
        return f"There is no {match[1]}."
    sentences = re.findall(r"There is (?!no )[^.]*[.]", question)
    return " ".join(sentences) or "No acute abnormality."


@pytest.fixture
def parrot() -> type[Parrot]:
    return Parrot
