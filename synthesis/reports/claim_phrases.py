"""The phrases that the prompt of the section ``claims`` is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

SEPARATOR = ", "
"""Between two phrases of a prompt; no phrase holds it."""

NO_CLAIMS = "no finding"
"""The prompt of a report that claims nothing: the empty one stands for a report that was not read."""


def phrases_of(concept: Any, side: str | None, grade: str | None, place: str | None) -> Iterator[str]:
    """Yield what is said of a concept on one side: that it is there, how severe it is, and where it lies.

    Args:
        concept: A `synthesis.concepts.Concept`.
        side: "left", "right", or None for a concept without sides or a report that gives none.
        grade: One of the concept's grades; any other is left out.
        place: One of its places; any other is left out.
    """
    name = concept.preferred_name if side is None else f"{side} {concept.preferred_name}"
    yield name
    if grade in concept.severities:
        yield f"{grade} {name}"
    if place in _places(concept):
        yield f"{name} ({place})"


def claim_phrases(catalog: Iterable[Any]) -> tuple[str, ...]:
    """Return all phrases that the concepts of a catalogue can have, each once: the words of a tokenizer."""
    found: dict[str, None] = {NO_CLAIMS: None}
    for concept in catalog:
        for side in (None, "left", "right") if concept.lateralities else (None,):
            for grade in (None, *concept.severities):
                found |= dict.fromkeys(phrases_of(concept, side, grade, None))
            for place in _places(concept):
                found |= dict.fromkeys(phrases_of(concept, side, None, place))
    return tuple(found)


def _places(concept: Any) -> tuple[str, ...]:
    sides = concept.lateralities or (None,)
    return tuple(dict.fromkeys(place for side in sides for place in concept.places(side)))
