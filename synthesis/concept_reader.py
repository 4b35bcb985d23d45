"""Reading a concept catalogue: from YAML to checked concepts. The file itself says what its keys mean."""

from __future__ import annotations

import re
from pathlib import Path

from synthesis.concept import ENTITY_TYPES, LATERALITIES, NO_FINDING, VIEWS, Concept, Location
from synthesis.strict_yaml import Entry, YamlError

_CODES = {"umls": r"C\d{7}", "radlex": r"RID\d+", "snomed": r"\d{6,18}"}


class ConceptReader:
    """Turns one catalogue file into concepts and refuses whatever is malformed.

    Rules that need more than one concept at a time (cycles, contradictions) are the catalogue's to check.

    Args:
        path: The catalogue file.

    Attributes:
        content: The bytes of the file.
        concepts: The concepts, in the order of the file.

    Raises:
        YamlError: Naming file, concept, key, value and remedy.
    """

    def __init__(self, path: Path) -> None:
        root, self.content = Entry.read(path)
        self._vocabularies = root.texts("vocabularies", least=1)
        self._sources = {name: self._source(entry) for name, entry in root.named("sources", "source")}
        populations = root.named("populations", "population")
        self._populations = {name: self._population(entry) for name, entry in populations}
        entries = dict(root.named("concepts", "concept"))
        root.close()
        if NO_FINDING not in entries:
            raise YamlError(f"{path}, key concepts: no {NO_FINDING} among them; add it, for normal studies.")
        self._names = tuple(entries)
        self._owners: dict[tuple[str, str], str] = {}
        self.concepts = [self._concept(name, entry) for name, entry in entries.items()]

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
