"""Placeholders in the texts of a comparison: ``{word}``, filled from facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

NOTE_FACTS = (
    "command", "seeds", "steps", "minutes", "samples", "threads", "precision", "splits", "training",
    "commits", "groups",
)  # fmt: skip
"""What the note of a comparison may mention in braces, beside its variables."""

RUN_FACTS = ("runs", "cache", "seed", "arm", "run")
"""What layers, overrides and settings may mention in braces, beside variables and ``{run:NAME}``."""

PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+(?::[^{}]+)?)\}")

EARLIER = re.compile(r"\{run:([^{}]+)\}")
"""A placeholder for the directory of another arm's run of the same seed."""


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts among texts, numbers, lists and mappings."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, str):
        yield value


def fill(value: Any, facts: Mapping[str, str]) -> Any:
    """Put facts into the placeholders of all texts of a value.

    Args:
        value: Texts, numbers, lists and mappings of them.
        facts: Placeholder, without braces → text. ``${…}`` is left to the parser.

    Raises:
        ValueError: If a text holds an unknown placeholder of the form ``{word}``.
    """
    if isinstance(value, Mapping):
        return {key: fill(inner, facts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill(inner, facts) for inner in value]
    if not isinstance(value, str):
        return value

    def fact(match: re.Match[str]) -> str:
        if match[1] not in facts:
            raise ValueError(f"{value!r}: no placeholder {match[0]}; there are {sorted(facts)}")
        return facts[match[1]]

    return PLACEHOLDER.sub(fact, value)
