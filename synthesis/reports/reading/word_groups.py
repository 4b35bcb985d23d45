"""Many groups of words, sought in a text in one go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

from synthesis.reports.reading.needed_letters import needed_letters
from synthesis.reports.reading.words import Span, Words, small

Meaning = TypeVar("Meaning")
_REMEMBERED = 1 << 14
_START = itemgetter(0)


class WordGroups(Generic[Meaning]):
    """Groups of words, each with what it means: finds what `Words.spans` finds, group after group.

    A sentence may hold few of many hundred expressions. Which ones follows from the letters that each needs,
    and those from the words of the sentence, which are remembered, for most come again.

    Args:
        groups: What each group means, and its words.
    """

    def __init__(self, groups: Iterable[tuple[Meaning, Words]]) -> None:
        self._meanings: list[Meaning] = []
        self._each: list[tuple[int, re.Pattern[str]]] = []  # number of the group, and one of its expressions
        self._near: dict[str, list[int]] = {}
        for group, (meaning, words) in enumerate(groups):
            self._meanings.append(meaning)
            for regex in words.each:
                for letters in needed_letters(regex.pattern) or ("",):
                    letters = max(letters.split(), key=len, default="")  # of one word
                    self._near.setdefault(letters, []).append(len(self._each))
                self._each.append((group, regex))
        self._always = frozenset(i for letters, near in self._near.items() for i in near if not letters)
        self._known: dict[str, frozenset[int]] = {}

    def find(self, text: str) -> Iterator[tuple[Meaning, Span]]:
        """Yield where the words of a group stand in a text, with what they mean."""
        text = small(text)
        may_stand = self._always.union(*map(self._in_word, text.split()))
        groups: dict[int, list[re.Pattern[str]]] = {}
        for i in sorted(may_stand):
            group, regex = self._each[i]
            groups.setdefault(group, []).append(regex)
        for group, words in groups.items():
            for span in _leftmost(words, text):
                yield self._meanings[group], span

    def _in_word(self, word: str) -> frozenset[int]:
        """Return which expressions need letters that a word holds."""
        near = self._known.get(word)
        if near is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            held = (expressions for letters, expressions in self._near.items() if letters in word)
            near = self._known[word] = frozenset(i for expressions in held for i in expressions)
        return near


def _leftmost(words: list[re.Pattern[str]], text: str) -> Iterator[Span]:
    """Yield what all expressions joined by "or" would match."""
    found = ((regex, _first(regex, text, 0)) for regex in words)
    ahead = [(regex, span) for regex, span in found if span is not None]
    while ahead:
        best = min((span for _, span in ahead), key=_START)  # the first in order, if several
        yield best
        found = ((regex, s if s[0] >= best[1] else _first(regex, text, best[1])) for regex, s in ahead)
        ahead = [(regex, span) for regex, span in found if span is not None]


def _first(regex: re.Pattern[str], text: str, start: int) -> Span | None:
    """Return where an expression first matches, but not within a word."""
    while (match := regex.search(text, start)) is not None:
        start, end = match.span()
        if not (0 < start < len(text) and _of_word(text[start - 1]) and _of_word(text[start])):
            return start, end
        start += 1
    return None


def _of_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
