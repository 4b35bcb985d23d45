"""From phrasings to text: choosing, spacing, capitals, articles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias
from zlib import crc32

from synthesis.reports.grammar.phrases import Phrasing, say

Draw: TypeAlias = Callable[[], float]
"""Returns the next random number in [0, 1)."""

_ARTICLE = re.compile(r"\b([Aa])(?= (?:[aeioAEIO]|u(?!ni|se)|8|11\b|18\b|NG\b|IJ\b))")


def stream(seed: int, subject: str) -> Draw:
    """Return a stream of random numbers that depends on the pair seed and the subject, and on nothing else.

    Python's own generator: it starts in 5 µs, a tenth of what numpy's takes, and a report needs a dozen of
    them.
    """
    return Random(seed << 32 | crc32(subject.encode())).random


def phrase(options: list[Phrasing], draw: Draw) -> str:
    """Return one of the options as text, with single blanks."""
    pieces: list[str] = []
    say(options, draw, pieces)
    return " ".join("".join(pieces).split()).replace(" ,", ",")


def attach(text: str, tail: str) -> str:
    """Return a text and what follows it, with a blank between them unless that starts with a comma."""
    return text + tail if tail.startswith(",") else f"{text} {tail}"


def sentence(text: str) -> str:
    """Return a text with a capital at its start and a full stop at its end."""
    return f"{text[0].upper()}{text[1:]}."


def section(sentences: Sequence[str]) -> str:
    """Return sentences as running text, with "an" for "a" where it is due."""
    return _ARTICLE.sub(r"\1n", " ".join(sentences))
