"""Whole words in running text, as regular expressions that a person can write in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from synthesis.strict_yaml import Entry

_NEVER = r"(?!)"
_BEGIN = r"(?:(?<!\w)|(?=\W))"  # a whole word, if it starts like one
_END = r"(?:(?!\w)|(?<=\W))"


class Words:
    """Regular expressions for whole words, joined into one.

    Args:
        patterns: Expressions in which a blank stands for any white space or hyphen, and ~ for words of a gap.
        entry: Where they stand in a file.
        key: Under which key: for errors.
        gap: The expression for one word of a gap.
        plural: Whether an "s" or "es" may follow.

    Raises:
        YamlError: If one of them is not a regular expression.
    """

    def __init__(
        self, patterns: Iterable[str], entry: Entry, key: str, gap: str = _NEVER, plural: bool = False
    ) -> None:
        between, parts = r"[\s\-]", []
        for pattern in sorted(patterns, key=len, reverse=True):
            part = pattern.replace(" ?", f"{between}?").replace(" ", f"{between}+")
            part = part.replace("~", f"(?:{between}+{gap}){{0,8}}{between}+")
            try:
                re.compile(part)
            except re.error as error:
                raise entry.error(
                    key, pattern, f"is not a regular expression ({error}); correct it."
                ) from error
            parts.append(f"(?:{part})")
        ending = "(?:e?s)?" if plural else ""
        self._regex = re.compile(rf"{_BEGIN}(?:{'|'.join(parts) or _NEVER}){ending}{_END}", re.IGNORECASE)

    def spans(self, text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield where the words stand in a text, from ``start`` and up to ``end``."""
        return (
            match.span() for match in self._regex.finditer(text, start, len(text) if end is None else end)
        )

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first place in a text where the words stand."""
        return self._regex.search(text)

    def at(self, text: str, position: int) -> bool:
        """Return whether the words stand at a position of a text."""
        return self._regex.match(text, position) is not None

    def only(self, text: str) -> bool:
        """Return whether a text holds nothing but these words, blanks and light punctuation."""
        return not self._regex.sub(" ", text).strip(" ,:/-\t\n")
