"""The phrase bank of the grammar writer, read and checked against the catalogue."""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path

from synthesis.cases import Finding
from synthesis.concepts import LATERALITIES, NO_FINDING, VIEWS, ConceptCatalog
from synthesis.extended_yaml import read_extended
from synthesis.reports.grammar.phrases import Alternative, Grammar, Phrasing, Slots, parse, read_slots
from synthesis.strict_yaml import Entry

LIST = "\0"
"""What the slot ``{list}`` becomes: the writer puts the list of denied concepts in its place."""
SECTIONS = ("findings", "impression")
NUMBERS = ("count", "mass", "plural")


@dataclass(frozen=True)
class Style:
    """How one kind of dictation differs from another; all but the name and the weight are chances in [0, 1].

    Attributes:
        name: Value of the feature ``style``.
        weight: How often reports are in this style, relative to the others.
        opening: Chance of a sentence about the projection.
        normal: Chance that a topic without findings is stated to be normal, beside findings elsewhere.
        normal_in_normals: The same in a normal study.
        abnormal_first: Chance that findings come before what is normal or absent.
        long_lists: Chance that one more concept is denied in the same sentence.
        attached: Chance that a list of denied concepts joins a normal statement that can carry it.
        joined: Chance that the two weightiest findings share a sentence of the impression.
        numbered: Chance that an impression of several items is numbered.
        absent_in_impression: Chance that the impression also denies something.
        device_in_impression: Chance that the impression mentions a device.
    """

    name: str
    weight: float
    opening: float
    normal: float
    normal_in_normals: float
    abnormal_first: float
    long_lists: float
    attached: float
    joined: float
    numbered: float
    absent_in_impression: float
    device_in_impression: float


@dataclass(frozen=True)
class Wording:
    """How one concept is spoken of.

    Attributes:
        region: The part of the chest with which it is reported.
        importance: From 0 (in the impression only without another finding) to 10 (always in it, and first).
        grammar: Its own slots and the shared ones.
    """

    region: str
    importance: float
    grammar: Grammar


@dataclass(frozen=True)
class Statement:
    """A sentence that says that a structure is normal.

    Attributes:
        slot: The shared slot that holds it.
        region: The part of the chest with which it is reported.
        denies: The concepts that it says are not there: it may be used only where none of them is.
        one_sided: Whether it speaks of one side only (feature ``laterality``).
        carries: Regions whose concepts may be denied in the same sentence.
    """

    slot: str
    region: str
    denies: frozenset[str]
    one_sided: bool
    carries: frozenset[str]


def true_statements(
    statements: Sequence[Statement], present: Collection[str], beside: Mapping[str, Collection[str]]
) -> list[tuple[Statement, str | None]]:
    """Return the statements that deny nothing present, each with its side.

    Args:
        statements: Of one topic.
        present: The concepts present.
        beside: Side → the concepts present on it.

    Returns:
        Statements about both sides (None); if there is none, those about one.
    """
    return [(s, None) for s in statements if not s.one_sided and s.denies.isdisjoint(present)] or [
        (s, side)
        for s in statements
        if s.one_sided
        for side, names in beside.items()
        if s.denies.isdisjoint(names)
    ]


class PhraseBank:
    """Everything that the grammar writer may say.

    Args:
        path: The YAML file; the comments at its head explain its keys. It may extend another one
            (`read_extended`).
        catalog: The concepts, each of which it must know how to put in words.

    Attributes:
        sha256: Of the file, and of those that it extends.
        orders: Ways to walk through the regions; each maps a region to its rank.
        shared: The slots that belong to no concept.
        wordings: Concept → wording, for all but "no_finding".
        normals: Topic → the statements that say that it is normal.

    Raises:
        YamlError: If the file is malformed, or a concept, slot or key is missing or unknown.
    """

    def __init__(self, path: Path, catalog: ConceptCatalog) -> None:
        root, content = read_extended(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._catalog = catalog
        self._root = root
        self.styles = [_style(name, entry) for name, entry in root.named("styles", "style")]
        self._cumulative = list(accumulate(style.weight for style in self.styles))
        self._regions = root.texts("regions", least=1)
        self.orders = [self._order(order) for order in root.take("orders")]
        self._features = self._known_values()
        slots = read_slots(root.entry("slots"), self._features)
        slots["list"] = (Alternative((), parse(LIST, root, "list")),)
        self.wordings = self._read_wordings(slots)
        self.normals = self._read_normals(slots)
        self.shared = Grammar(slots, root)
        root.close()

    def pick_style(self, chance: float) -> Style:
        """Return the style at a point in [0, 1) of the styles laid end to end by weight."""
        return self.styles[bisect(self._cumulative, chance * self._cumulative[-1])]

    def finding(self, finding: Finding, style: str, section: str, slot: str) -> list[Phrasing]:
        """Return all ways to speak of a finding.

        Args:
            finding: A finding that the catalogue allows.
            style: Name of a style.
            section: "findings" or "impression".
            slot: What is to be said, e.g. "possible_findings"; "np" for the noun phrase alone.

        Raises:
            YamlError: If the bank has no way to say it.
        """
        features = {
            "style": style,
            "section": section,
            "severity": finding.severity,
            "laterality": finding.laterality,
            "location": finding.location,
        }
        grammar = self.wordings[finding.concept].grammar
        options = [
            phrasing
            for number in NUMBERS
            for phrasing in grammar.compile(slot, {**features, "number": number})
        ]
        if not options:
            where = Entry(f"{self._root.where}, concept {finding.concept}", {})
            raise where.error(f"slots.{slot}", features, "cannot be put in words; add a phrase for it.")
        return options

    def _read_wordings(self, shared: Slots) -> dict[str, Wording]:
        wordings = {}
        for name, entry in self._root.named("concepts", "concept"):
            if name not in self._catalog or name == NO_FINDING:
                known = ", ".join(n for n in self._catalog.names if n != NO_FINDING)
                raise self._root.error(
                    "concepts", name, f"is not a concept with a wording; use one of: {known}."
                )
            region, importance = entry.text("region", self._regions), entry.number("importance", 0, 10)
            slots = {**shared, **read_slots(entry.entry("slots"), self._features)}
            entry.close()
            wordings[name] = Wording(region, importance, Grammar(slots, entry))
        for name in self._catalog.names:
            if name not in wordings and name != NO_FINDING:
                raise self._root.error("concepts", name, "is missing; add its region, importance and slots.")
        return wordings

    def _read_normals(self, slots: dict[str, tuple[Alternative, ...]]) -> dict[str, list[Statement]]:
        """Read the normal statements; each becomes one more shared slot."""
        topics = self._root.entry("normals")
        normals: dict[str, list[Statement]] = {}
        for topic in topics.keys():
            normals[topic] = []
            for name, entry in topics.named(topic, f"topic {topic}, statement"):
                region, one_sided = (
                    entry.text("region", self._regions),
                    entry.flag("one_sided", default=False),
                )
                carries = frozenset(entry.texts("carries", self._regions))
                denies = frozenset(entry.texts("denies", self._catalog.names, least=1))
                slot = f"normal {name}"
                slots[slot] = read_slots(Entry(entry.where, {"any": entry.take("any")}), self._features)[
                    "any"
                ]
                entry.close()
                normals[topic].append(Statement(slot, region, denies, one_sided, carries))
        return normals

    def _order(self, order: object) -> dict[str, int]:
        if not isinstance(order, list) or sorted(map(str, order)) != sorted(self._regions):
            raise self._root.error(
                "orders", order, f"must hold each region once: {', '.join(self._regions)}."
            )
        return {region: rank for rank, region in enumerate(order)}

    def _known_values(self) -> dict[str, list[str]]:
        return {
            "style": [style.name for style in self.styles],
            "section": list(SECTIONS),
            "number": [*NUMBERS, "one", "several"],
            "view": list(VIEWS),
            "devices": ["present"],
            "laterality": list(LATERALITIES),
            "severity": list(dict.fromkeys(s for concept in self._catalog for s in concept.severities)),
            "location": list(
                dict.fromkeys(place.name for concept in self._catalog for place in concept.locations)
            ),
        }


def _style(name: str, entry: Entry) -> Style:
    chances = {f.name: entry.number(f.name, 0, 1) for f in fields(Style) if f.name not in ("name", "weight")}
    style = Style(name=name, weight=entry.number("weight", 0, 1e6), **chances)
    entry.close()
    return style
