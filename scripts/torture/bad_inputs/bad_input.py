"""One bad input: a command, and what a clear answer to it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BadInput:
    """A command that cannot do what it is asked.

    Attributes:
        name: ``kind/what``, unlike any other.
        words: Writes what the command reads into a directory of its own, and returns the command; the second
            directory holds what `BadInputs.prepare` has made.
        names: What a clear answer says besides a remedy: key, file or row, and the value. ``a|b`` is either.
        meant: Why it is accepted without a word, where that is meant.
    """

    name: str
    words: Callable[[Path, Path], list[str]]
    names: tuple[str, ...] = ()
    meant: str = ""
