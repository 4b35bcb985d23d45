"""Misspelt names of findings ("pnuemothorax"): one letter lost, added or changed, or two exchanged."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

_LEAST = 7  # letters: shorter words have too many neighbours that are words themselves
_WORD = re.compile(rf"[A-Za-z]{{{_LEAST - 1},}}")
_REMEMBERED = 1 << 14


class SpellingCorrector:
    """Finds words that differ from a known long word by one slip; both begin and end alike.

    A word whose last two letters differ is left alone: "pneumonic" and "fractured" are inflections. Whether
    two words are so close is looked up by what they are without one letter (symmetric deletion).

    Args:
        names: Texts whose words may be misspelt.
        known: Words that are none, in small letters.
    """

    def __init__(self, names: Iterable[str], known: Collection[str]) -> None:
        words = {word.lower() for name in names for word in re.findall("[A-Za-z]+", name)}
        self._known = {*known, *words}
        self._near: dict[str, set[str]] = {}
        for word in words:
            for form in _shortened(word) if len(word) >= _LEAST else ():
                self._near.setdefault(form, set()).add(word)
        self._right: dict[str, str] = {}

    def corrected(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """Return a text with such words put right, and where that moved what follows.

        Returns:
            The text, and for each word put right: where it ends in the new text, and by how many letters the
            old text is longer from there on.
        """
        moves: list[tuple[int, int]] = []
        pieces, begin, length = [], 0, 0
        for match in _WORD.finditer(text):
            word = match[0].lower()
            right = self._right.get(word)
            if right is None:
                if len(self._right) >= _REMEMBERED:
                    self._right.clear()
                right = self._right[word] = self._put_right(word)
            if right == word:
                continue
            pieces += [text[begin : match.start()], right]
            length += match.start() - begin + len(right)
            begin = match.end()
            moves.append((length, begin - length))
        return ("".join([*pieces, text[begin:]]), moves) if moves else (text, moves)

    def _put_right(self, word: str) -> str:
        """Return the one known word that a word may be meant to be, else the word itself."""
        if word in self._known or word.removesuffix("s") in self._known:
            return word
        near = set[str]().union(*(self._near.get(form, ()) for form in _shortened(word)))
        meant = {name for name in near if _close(name, word) and abs(len(name) - len(word)) <= 1}
        return meant.pop() if len(meant) == 1 else word


def _close(name: str, word: str) -> bool:
    """Return whether two near words begin and end alike, or only have two neighbouring letters exchanged."""
    apart = [i for i, (a, b) in enumerate(zip(name, word, strict=False)) if a != b]
    swapped = len(name) == len(word) and len(apart) == 2 and sorted(name) == sorted(word)
    return name[0] == word[0] and (name[-2:] == word[-2:] or (swapped and apart[1] - apart[0] == 1))


def moved(position: int, moves: Iterable[tuple[int, int]]) -> int:
    """Return where a position of a corrected text lies in the text as written."""
    shift = 0
    for end, by in moves:
        if end > position:
            break
        shift = by
    return position + shift


def _shortened(word: str) -> Iterator[str]:
    """Yield a word, and it without each of its letters."""
    yield word
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
