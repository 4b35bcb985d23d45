"""Whole words in running text, as regular expressions that a person can write in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TypeAlias

from synthesis.reports.reading.needed_letters import needed_letters
from synthesis.strict_yaml import Entry

Span: TypeAlias = tuple[int, int]
_NEVER = r"(?!)"
_BEGIN = r"(?!\B\w)"  # a whole word, if it starts like one
_CAPTURING = re.compile(r"(?<!\\)\((?!\?)")
_CLASS = re.compile(r"(?<!\(\?P)<([a-z_]+)>")
_END = r"(?:(?!\w)|(?<=\W))"


class Words:
    """Regular expressions for whole words, joined into one.

    Args:
        patterns: Expressions in which a blank stands for any white space or hyphen, ~ for words of a gap, and
            " ..." for the rest of a list of adjectives that share a noun ("cardiac ..., and hilar contours").
        entry: Where they stand in a file.
        key: Under which key: for errors.
        gap: The expression for one word of a gap.
        plural: Whether an "s" or "es" may follow.
        listed: The expression for the shared noun of a list of adjectives.

    Attributes:
        each: The expressions, the longest first.

    Raises:
        YamlError: If one of them is not a regular expression.
    """

    def __init__(
        self,
        patterns: Iterable[str],
        entry: Entry,
        key: str,
        gap: str = _NEVER,
        plural: bool = False,
        listed: str = _NEVER,
    ) -> None:
        between, parts = r"[\s\-]", []
        ending = "(?:e?s)?" if plural else ""
        self.each: list[re.Pattern[str]] = []
        for pattern in sorted(patterns, key=len, reverse=True):
            pattern = re.sub(r"\bnot\b", "no?t", pattern)  # "isn't" comes as "is nt"
            pattern = re.sub(r"(?<=[a-z]i)z(?=e|ing)", "[sz]", pattern).replace("favor", "favou?r")
            pattern = pattern.replace(" ...", rf"(?=(?:(?: ?,)? (?:and |or )?[a-z]+){{0,4}}? {listed}s?\b)")
            part = pattern.replace(" ?", f"{between}{{0,3}}").replace(" ", f"{between}+")
            part = part.replace("~", f"(?::|,(?= which ))?(?:{between}+{gap}){{0,8}}{between}+")
            part = _CAPTURING.sub("(?:", part)  # which is slow, and nobody asks for
            # Small letters throughout are found twice as fast as either case.
            part = _small(rf"(?:{part}){ending}{_END}")
            try:
                regex = re.compile(part)
            except re.error as error:
                raise entry.error(
                    key, pattern, f"is not a regular expression ({error}); correct it."
                ) from error
            parts.append(part)
            self.each.append(regex)
        self._joined = rf"{_BEGIN}(?:{'|'.join(parts) or _NEVER})"

    @cached_property  # groups of words do without
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self._joined)

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        return tuple(needed_letters(self._joined)) or ("",)

    @staticmethod
    def with_classes(
        patterns: Iterable[str], classes: Mapping[str, str], entry: Entry, key: str
    ) -> list[str]:
        """Return expressions with the words of a class for each ``<class>`` in them.

        Raises:
            YamlError: If there is no such class.
        """

        def words(match: re.Match[str]) -> str:
            if match[1] not in classes:
                known = ", ".join(classes)
                raise entry.error(key, match[0], f"is no class of words; use one of: {known}.")
            return f"({classes[match[1]]})"

        return [_CLASS.sub(words, pattern) for pattern in patterns]

    def may_stand_in(self, text: str) -> bool:
        """Return, much faster than by reading it, whether a text in small letters may hold the words."""
        return any(map(text.__contains__, self._needed))

    def spans(self, text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Return where the words stand in a text, from ``start`` and up to ``end``."""
        text = small(text)
        if not self.may_stand_in(text):
            return iter(())
        matches = self._regex.finditer(text, start, len(text) if end is None else end)
        return (match.span() for match in matches)

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first place in a text where the words stand."""
        text = small(text)
        return self._regex.search(text) if self.may_stand_in(text) else None

    def at(self, text: str, position: int) -> bool:
        """Return whether the words stand at a position of a text."""
        return self._regex.match(small(text), position) is not None

    def only(self, text: str) -> bool:
        """Return whether a text holds nothing but these words, blanks and light punctuation."""
        return not self.without(text).strip(" ,:/-\t\n")

    def without(self, text: str) -> str:
        """Return a text, in small letters, with a blank for each of these words."""
        return self._regex.sub(" ", small(text))

    def fills(self, text: str) -> bool:
        """Return whether a text is these words once, but for blanks around them."""
        return self._regex.fullmatch(small(text).strip()) is not None


@lru_cache(maxsize=64)  # of one sentence, hundreds of words are sought
def small(text: str) -> str:
    """Return a text of the same length in small letters."""
    lowered = text.lower()
    return (
        lowered
        if len(lowered) == len(text)
        else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
    )


def _small(pattern: str) -> str:
    """Return an expression in small letters, but for escaped ones: those are classes."""
    return re.sub(r"\\.|[^\\]+", lambda match: match[0] if match[0][0] == "\\" else match[0].lower(), pattern)
