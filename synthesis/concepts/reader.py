"""Reading a concept catalogue: from YAML to checked concepts. The file itself says what its keys mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthesis.concepts.concept import ENTITY_TYPES, LATERALITIES, NO_FINDING, VIEWS, Concept, Location
from synthesis.strict_yaml import Entry, YamlError

_REVISABLE = ("lateralities", "locations", "excludes", "excludes_same_side", "never_denies")
"""What a file may replace of a concept that it extends: where it lies and what joins it, not what it is."""

_WORDS = ("lexicon", "phrases")
_CODES = {"umls": r"C\d{7}", "radlex": r"RID\d+", "snomed": r"\d{6,18}"}


class ConceptReader:
    """Turns one catalogue file into concepts and refuses whatever is malformed.

    Rules that need more than one concept at a time (cycles, contradictions) are the catalogue's to check.

    A file with ``extends`` adds to another one, named relative to itself: its concepts come after those, and
    its vocabularies, sources and populations stand beside those. Of what it extends it changes only the keys
    of `_REVISABLE` that stand under ``revises``, and the files of words, ``lexicon`` and ``phrases``.

    Args:
        path: The catalogue file.
        extended_by: The files that extend this one, for the message if they go round in a circle.

    Attributes:
        content: The bytes of the file, after those of the file that it extends.
        concepts: The concepts, in the order of the file.
        words: "lexicon" and "phrases" → the file of that kind that fits the catalogue, where it names one.

    Raises:
        YamlError: Naming file, concept, key, value and remedy.
    """

    def __init__(self, path: Path, extended_by: tuple[Path, ...] = ()) -> None:
        root, self.content = Entry.read(path)
        self._base: Path | None = None
        self._vocabularies: tuple[str, ...] = ()
        self._sources: dict[str, tuple[str, str]] = {}
        self._populations: dict[str, tuple[int, str]] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self.concepts: list[Concept] = []
        self.words: dict[str, Path] = {}
        if "extends" in root.keys():
            self._extend(path, root, (*extended_by, path))
        self._vocabularies += root.texts("vocabularies", least=0 if self._base else 1)
        for name, entry in self._new(root, "sources", "source", self._sources):
            self._sources[name] = self._source(entry)
        for name, entry in self._new(root, "populations", "population", self._populations):
            self._populations[name] = self._population(entry)
        inherited = tuple(concept.name for concept in self.concepts)
        entries = dict(self._new(root, "concepts", "concept", inherited))
        self.words |= {kind: path.parent / root.text(kind) for kind in _WORDS if kind in root.keys()}
        revisions = dict(root.named("revises", "concept", default={}))
        root.close(optional=("extends", *_WORDS))
        self._names = (*inherited, *entries)
        if NO_FINDING not in self._names:
            raise YamlError(f"{path}, key concepts: no {NO_FINDING} among them; add it, for normal studies.")
        for name in revisions:
            if name not in inherited:
                known = ", ".join(inherited) or "none: the file extends no other"
                raise root.error("revises", name, f"is no concept of the file that is extended ({known}).")
        self.concepts = [
            self._revised(c, revisions[c.name]) if c.name in revisions else c for c in self.concepts
        ]
        self.concepts += [self._concept(name, entry) for name, entry in entries.items()]

    def _revised(self, concept: Concept, entry: Entry) -> Concept:
        """Return a concept of the extended file with some of its keys replaced."""
        given = entry.keys()
        changes: dict[str, Any] = {
            key: entry.texts(key, self._names)
            for key in ("excludes", "excludes_same_side", "never_denies")
            if key in given
        }
        if "lateralities" in given:
            changes["lateralities"] = entry.texts("lateralities", LATERALITIES)
        if "locations" in given:
            sides = changes.get("lateralities", concept.lateralities)
            changes["locations"] = self._locations(entry, sides)
        entry.close(optional=_REVISABLE)
        return replace(concept, **changes)

    def _extend(self, path: Path, root: Entry, extended_by: tuple[Path, ...]) -> None:
        """Begin with what another file holds."""
        value = root.text("extends")
        self._base = path.parent / value
        if self._base.resolve() in {file.resolve() for file in extended_by}:
            raise root.error("extends", value, "leads back to this file; extend another one.")
        base = ConceptReader(self._base, extended_by)
        self.content = base.content + self.content
        self._vocabularies, self.concepts = base._vocabularies, list(base.concepts)
        self._sources, self._populations = dict(base._sources), dict(base._populations)
        self._owners = dict(base._owners)
        self.words = dict(base.words)

    def _new(self, root: Entry, key: str, what: str, known: Collection[str]) -> Iterator[tuple[str, Entry]]:
        """Yield the items of a key, of which there may be none in a file that extends another."""
        for name, entry in root.named(key, what, default=None if self._base is None else {}):
            if name in known:
                raise YamlError(f"{entry.where}: {self._base} has it already; choose another name.")
            yield name, entry

    def _source(self, entry: Entry) -> tuple[str, str]:
        citation, doi = entry.text("citation"), entry.text("doi")
        if not re.fullmatch(r"10\.\d{4,9}/\S+", doi):
            raise entry.error("doi", doi, "is not a DOI; write it as 10.xxxx/yyyy, without https.")
        entry.close()
        return citation, doi

    def _population(self, entry: Entry) -> tuple[int, str]:
        size = int(entry.number("size", 1, 1e12))
        doi = self._sources[entry.text("source", self._sources)][1]
        text = f"of {size:,} {entry.text('unit')} of {entry.text('name')} (doi:{doi})"
        entry.close()
        return size, text

    def _concept(self, name: str, entry: Entry) -> Concept:
        prompts = entry.entry("prompts")
        citation, doi = self._sources[entry.text("source", self._sources)]
        prevalence, prevalence_source = self._prevalence(entry.entry("prevalence"))
        labels = self._labels(name, entry.entry("labels", {}))
        lateralities = entry.texts("lateralities", LATERALITIES)
        concept = Concept(
            name=name,
            preferred_name=entry.text("preferred_name"),
            synonyms=entry.texts("synonyms", least=1),
            codes=self._codes(entry.entry("codes", {})),
            definition=entry.text("definition"),
            citation=citation,
            doi=doi,
            entity_type=entry.text("entity_type", ENTITY_TYPES),
            lateralities=lateralities,
            locations=self._locations(entry, lateralities),
            severities=entry.texts("severities"),
            implies=entry.texts("implies", self._names),
            excludes=entry.texts("excludes", self._names),
            excludes_same_side=entry.texts("excludes_same_side", self._names),
            never_denies=entry.texts("never_denies", self._names),
            views=entry.texts("views", VIEWS) or VIEWS,
            prevalence=prevalence,
            prevalence_source=prevalence_source,
            absent_weight=entry.number("absent_weight", 0, 100, default=1),
            prompts_present=prompts.texts("present", least=4),
            prompts_absent=prompts.texts("absent", least=4),
            labels={vocabulary: texts[0] for vocabulary, texts in labels.items()},
            label_aliases={vocabulary: texts[1:] for vocabulary, texts in labels.items()},
            sampled=entry.flag("sampled", default=True),
        )
        for synonym in (concept.preferred_name, *concept.synonyms):
            self._claim(entry, "synonyms", "name", synonym.lower(), name)
        prompts.close()
        entry.close()
        return concept

    def _prevalence(self, entry: Entry) -> tuple[float, str]:
        size, text = self._populations[entry.text("population", self._populations)]
        count = int(entry.number("count", 0, size))
        entry.close()
        return count / size, f"{count:,} {text}"

    def _codes(self, entry: Entry) -> dict[str, str]:
        codes = {name: entry.text(name) for name in _CODES if name in entry.keys()}
        for terminology, code in codes.items():
            if not re.fullmatch(_CODES[terminology], code):
                raise entry.error(terminology, code, f"does not look like {_CODES[terminology]}; look it up.")
        entry.close(optional=_CODES)
        return codes

    def _locations(self, entry: Entry, sides: tuple[str, ...]) -> tuple[Location, ...]:
        """Read the places, each given by its name, or as {name, lateralities} if it lacks on some side."""
        value = entry.take("locations", [])
        if not isinstance(value, list):
            raise entry.error("locations", value, "is not a list; write [first, second].")
        locations = tuple(self._location(entry, place, sides) for place in value)
        for side in sides if locations else ():
            if not any(side in location.lateralities for location in locations):
                raise entry.error("locations", value, f"has no place for laterality {side}; add or drop it.")
        return locations

    def _location(self, concept: Entry, place: object, sides: tuple[str, ...]) -> Location:
        if isinstance(place, str):
            return Location(place, sides)
        entry = Entry(f"{concept.where}, key locations", place)
        location = Location(entry.text("name"), entry.texts("lateralities", sides, least=1))
        entry.close()
        return location

    def _labels(self, concept: str, entry: Entry) -> dict[str, tuple[str, ...]]:
        """Read vocabulary → label or list of labels."""
        labels = {}
        for vocabulary in (v for v in self._vocabularies if v in entry.keys()):
            labels[vocabulary] = entry.text_or_texts(vocabulary)
            for label in labels[vocabulary]:
                self._claim(entry, vocabulary, vocabulary, label, concept)
        entry.close(optional=self._vocabularies)
        return labels

    def _claim(self, entry: Entry, key: str, kind: str, text: str, concept: str) -> None:
        """Note that a label or name means this concept; it must not mean another one as well."""
        owner = self._owners.setdefault((kind, text), concept)
        if owner != concept:
            raise entry.error(key, text, f"already belongs to concept {owner}; keep it at one of the two.")
