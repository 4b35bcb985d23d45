"""Left and right in the words of a report."""

from __future__ import annotations

import re

_OTHER_SIDE = {"left": "right", "right": "left"}
_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


def names_a_side(text: str) -> bool:
    """Return whether a text holds the word left or right."""
    return _SIDE.search(text) is not None


def with_sides_exchanged(text: str) -> str:
    """Return a text with left and right exchanged, each in the case of the word it stands for."""

    def exchanged(word: re.Match[str]) -> str:
        other = _OTHER_SIDE[word[0].lower()]
        return other.upper() if word[0].isupper() else other.title() if word[0][0].isupper() else other

    return _SIDE.sub(exchanged, text)
