"""Phrases with slots: read from YAML, checked, and compiled for one context at a time.

The language of a template:

- ``[small|tiny|]``: one of several texts, here the last one empty; brackets nest;
- ``{slot}``: one of the alternatives of that slot.

A slot is a list of templates. An item may also be ``{when: {feature: value or list}, any: [items]}``: its
templates exist only where each feature has one of the values (``null`` = it has none). A template with a slot
that is left without alternatives does not exist there either. So wording, agreement and negation are data;
code knows no English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from synthesis.strict_yaml import Entry

Context: TypeAlias = Mapping[str, str | None]
"""Feature → value; a missing feature counts as None."""
Phrasing: TypeAlias = "tuple[str | list[Phrasing], ...]"
"""A compiled template: texts, and choices among phrasings."""
Slots: TypeAlias = Mapping[str, tuple["Alternative", ...]]

_TOKEN = re.compile(r"\{(?P<slot>\w+)\}|(?P<mark>[\[\]|])|(?P<text>[^\[\]|{}]+)|(?P<stray>[{}])")
_Template: TypeAlias = "tuple[str | _Slot | list[_Template], ...]"


@dataclass(frozen=True)
class _Slot:
    name: str


@dataclass(frozen=True)
class Alternative:
    """One template of a slot and the contexts in which it exists.

    Attributes:
        when: Feature and the values that it may have, for every feature that matters.
        template: What `parse` returned.
    """

    when: tuple[tuple[str, frozenset[str | None]], ...]
    template: _Template


class Grammar:
    """The slots that templates may use.

    Compiled slots are shared: one that depends on no feature, or on few, is compiled once for all their
    contexts.

    Args:
        slots: Slot → its alternatives.
        where: How errors name these slots, e.g. "grammar.yaml, concept edema".

    Raises:
        YamlError: If a template uses an unknown slot, or slots use each other in a circle.
    """

    def __init__(self, slots: Slots, where: Entry) -> None:
        self._slots = slots
        self._features: dict[str, tuple[str, ...]] = {}
        self._compiled: dict[tuple[str | None, ...], list[Phrasing]] = {}
        for name in slots:
            self._depends_on(name, where, ())

    def compile(self, slot: str, context: Context) -> list[Phrasing]:
        """Return the phrasings that a slot has in a context; empty if there is none."""
        key = (slot, *(context.get(feature) for feature in self._features[slot]))
        options = self._compiled.get(key)
        if options is None:
            filled = (
                self._fill(alternative.template, context)
                for alternative in self._slots[slot]
                if all(context.get(feature) in values for feature, values in alternative.when)
            )
            options = self._compiled[key] = [phrasing for phrasing in filled if phrasing is not None]
        return options

    def _fill(self, template: _Template, context: Context) -> Phrasing | None:
        """Resolve the slots of a template; None where one of them has no alternative."""
        parts: list[str | list[Phrasing]] = []
        for part in template:
            if isinstance(part, str):
                options: list[Phrasing] = [(part,)]
            elif isinstance(part, _Slot):
                options = self.compile(part.name, context)
            else:
                options = [option for piece in part if (option := self._fill(piece, context)) is not None]
            if not options:
                return None
            parts.extend(options[0] if len(options) == 1 else [options])
        return _merged(parts)

    def _depends_on(self, name: str, where: Entry, trail: tuple[str, ...]) -> tuple[str, ...]:
        """Return the features that decide about a slot, directly or through the slots it uses."""
        if name in trail:
            circle = " → ".join((*trail[trail.index(name) :], name))
            raise where.error(f"slots.{name}", circle, "never ends; take one of these slots out of another.")
        if name not in self._features:
            features: set[str] = set()
            for alternative in self._slots[name]:
                features.update(feature for feature, _ in alternative.when)
                for inner in _slots_in(alternative.template):
                    if inner not in self._slots:
                        known = ", ".join(sorted(self._slots))
                        raise where.error(
                            f"slots.{name}", f"{{{inner}}}", f"is an unknown slot; use one of: {known}."
                        )
                    features.update(self._depends_on(inner, where, (*trail, name)))
            self._features[name] = tuple(sorted(features))
        return self._features[name]


def read_slots(entry: Entry, features: Mapping[str, Collection[str]]) -> dict[str, tuple[Alternative, ...]]:
    """Read a mapping slot → list of templates.

    Args:
        entry: The mapping as it stands in the file.
        features: Feature → the values that a ``when`` may ask for.

    Raises:
        YamlError: If a template is malformed, or a ``when`` names an unknown feature or value.
    """
    return {name: tuple(_read(entry, name, entry.take(name), features, ())) for name in entry.keys()}


def _read(
    entry: Entry,
    key: str,
    items: object,
    features: Mapping[str, Collection[str]],
    when: tuple[tuple[str, frozenset[str | None]], ...],
) -> Iterator[Alternative]:
    if not isinstance(items, list):
        raise entry.error(
            key, items, "is not a list of phrases; write one a line after `- `, or [] for none."
        )
    for item in items:
        if isinstance(item, str):
            yield Alternative(when, parse(item, entry, key))
            continue
        guarded = Entry(f"{entry.where}, key {key}", item)
        guards = guarded.entry("when")
        inner = (*when, *((feature, _values(guards, feature, features)) for feature in guards.keys()))
        yield from _read(entry, key, guarded.take("any"), features, inner)
        guarded.close()


def _values(guards: Entry, feature: str, features: Mapping[str, Collection[str]]) -> frozenset[str | None]:
    value = guards.take(feature)
    if feature not in features:
        raise guards.error(feature, value, f"asks for an unknown feature; use one of: {', '.join(features)}.")
    values = value if isinstance(value, list) else [value]
    for each in values:
        if each is not None and each not in features[feature]:
            raise guards.error(
                feature, each, f"is not a {feature}; use one of: {', '.join(features[feature])}, or null."
            )
    return frozenset(values)


def parse(text: str, entry: Entry, key: str) -> _Template:
    """Parse one template; ``entry`` and ``key`` say in errors where it stands."""
    open_choices: list[tuple[list[_Template], list[str | _Slot | list[_Template]]]] = []
    parts: list[str | _Slot | list[_Template]] = []
    for token in _TOKEN.finditer(text):
        if token["text"] is not None:
            parts.append(token["text"])
        elif token["slot"] is not None:
            parts.append(_Slot(token["slot"]))
        elif token["mark"] == "[":
            open_choices.append(([], parts))
            parts = []
        elif token["stray"] or not open_choices:
            raise entry.error(key, text, "has an unpaired bracket or brace; write [one|other] and {slot}.")
        else:
            options, before = open_choices[-1]
            options.append(tuple(parts))
            parts = []
            if token["mark"] == "]":
                open_choices.pop()
                parts = [*before, options]
    if open_choices:
        raise entry.error(key, text, "has a [ that is not closed; write [one|other].")
    return tuple(parts)


def say(options: list[Phrasing], draw: Callable[[], float], pieces: list[str]) -> None:
    """Append the pieces of one phrasing, choosing among equals wherever there is a choice.

    Args:
        options: At least one phrasing.
        draw: Returns the next random number in [0, 1).
        pieces: Where the texts are appended.
    """
    for part in options[int(draw() * len(options))]:
        if isinstance(part, str):
            pieces.append(part)
        else:
            say(part, draw, pieces)


def count(options: list[Phrasing]) -> int:
    """Return in how many ways one of the options can be said."""
    total = 0
    for phrasing in options:
        ways = 1
        for part in phrasing:
            if not isinstance(part, str):
                ways *= count(part)
        total += ways
    return total


def _slots_in(template: _Template) -> Iterator[str]:
    for part in template:
        if isinstance(part, _Slot):
            yield part.name
        elif isinstance(part, list):
            for piece in part:
                yield from _slots_in(piece)


def _merged(parts: list[str | list[Phrasing]]) -> Phrasing:
    """Join neighbouring texts."""
    merged: list[str | list[Phrasing]] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)
