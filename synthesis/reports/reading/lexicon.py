"""The words of reports: names of concepts and structures, sides, places and degrees."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthesis.concepts import LATERALITIES, Concept, ConceptCatalog
from synthesis.configuration import shipped
from synthesis.extended_yaml import read_extended
from synthesis.reports.reading.word_groups import WordGroups
from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry

DEFAULT_LEXICON = shipped("configs/reports/lexicon.yaml")


@dataclass(frozen=True)
class Term:
    """Words and what they mean.

    Attributes:
        words: The words.
        concepts: The concept that they name, or the concepts that they deny.
    """

    words: Words
    concepts: tuple[str, ...]


@dataclass(frozen=True)
class ConceptWords:
    """The words of one concept beyond its names.

    Attributes:
        severities: Grade → words that mean it for this concept only.
        sides: Side → words that mean it for this concept only.
        sizes: Grade → range in mm, upper end excluded.
    """

    severities: dict[str, Words] = field(default_factory=dict)
    sides: dict[str, Words] = field(default_factory=dict)
    sizes: dict[str, tuple[float, float]] = field(default_factory=dict)


class Lexicon:
    """All words that the extraction of entities knows.

    Args:
        catalog: The concepts; their preferred names and synonyms are among the words.
        path: The YAML file; None takes the one that the catalogue names, else
            ``configs/reports/lexicon.yaml``. Its comments explain its keys. It may extend another one
            (`read_extended`).

    Attributes:
        sha256: Of the file, and of those that it extends.
        known: Every word in the file: none is a misspelling.
        names: Words, each with its kind, structure and concepts. The kinds are "concept" (of those in the
            same place, the last one counts), "denied_only" (means something only when it is denied: that the
            concepts are absent, or that "no_finding" is present), "denial" (denies concepts where it is
            asserted, "extubated") and "structure" (denies them where it is called normal).
        others: Names of what is no concept.
        ellipses: Sides that stand for what was named before them ("while the left has grown").
        special: Structures, words that call them normal, and what that denies instead.
        normal_before, normal_after: Words that call the structures after or before them normal.
        join_before, join_after: What may stand between those and the structures.
        normal_of: What may stand between "normal" and its structure ("size of the").
        normal_unless: Words with which a sentence calls nothing normal as a whole.
        normal_except: Those of them with which it denies nothing as a whole either.
        ignore: Phrases in which the names of concepts mean something else.
        words: Concept → further words.
        sides, places: Side or place → words.
        grades: Grades and the words that mean them.
        breaks, clauses, identity, conjunction: Words between a modifier and a noun, or two nouns.

    Raises:
        YamlError: If the file is malformed or does not fit the catalogue.
    """

    def __init__(self, catalog: ConceptCatalog, path: str | Path | None = None) -> None:
        file = catalog.lexicon or DEFAULT_LEXICON if path is None else Path(path)
        root, content = read_extended(file)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.known = frozenset(re.findall("[a-z]+", content.decode("utf-8").lower()))
        self._root, self._gap = root, f"(?:{root.text('gap')})"
        self._negator = Words([root.text("negator")], root, "negator")
        self._spellings = root.texts("spellings")
        self._listed = f"(?:{root.text('listed')})"
        self.words: dict[str, ConceptWords] = {}
        terms, denied_only = self._read_concepts(catalog)
        structures = [
            (name, self._term(entry, catalog, least=0))
            for name, entry in root.named("structures", "structure")
        ]
        self._structures = [name for name, _ in structures]
        self.special = [self._special(e, catalog) for e in _entries(root, "special")]
        terms[:0] = [self._term(e, catalog, "names") for e in _entries(root, "compounds")]
        denied_only += [self._term(e, catalog) for e in _entries(root, "denied_only")]
        denials = [self._term(e, catalog) for e in _entries(root, "denials")]
        kinds = (("concept", terms[::-1]), ("denied_only", denied_only), ("denial", denials))
        self.names = WordGroups(
            [((kind, "", term.concepts), term.words) for kind, group in kinds for term in group]
            + [(("structure", name, term.concepts), term.words) for name, term in structures]
        )
        self.others = Words(root.texts("others"), root, "others", plural=True)
        self.ellipses = Words(root.texts("ellipses"), root, "ellipses")
        self._read_normal(root.entry("normal"))
        self.ignore = Words(root.texts("ignore"), root, "ignore", plural=True)
        self._read_modifiers(root, catalog)
        root.close()

    def sizes(self, text: str) -> Iterator[tuple[int, int, float]]:
        """Yield start, end and millimetres of each size: the middle of a range, just off an open bound."""
        for match in self._size.finditer(text):
            low, high = float(match["low"]), float(match["high"] or match["low"])
            scale = 10.0 if match["cm"] else 1.0
            nudge = -1e-3 if match["below"] else 1e-3 if match["above"] else 0.0
            yield (*match.span(), scale * ((low + high) / 2 + nudge))

    def _read_normal(self, entry: Entry) -> None:
        self.normal_before = Words(entry.texts("before", least=1), entry, "before")
        self.normal_after = Words(entry.texts("after", least=1), entry, "after")
        self.join_before = Words(entry.texts("join_before"), entry, "join_before")
        self.join_after = Words(entry.texts("join_after"), entry, "join_after")
        self.normal_of = Words(entry.texts("of"), entry, "of")
        self.elided_before = Words(entry.texts("elided_before"), entry, "elided_before")
        self.elided_after = Words(entry.texts("elided_after"), entry, "elided_after")
        self.abnormal = Words(entry.texts("abnormal"), entry, "abnormal")
        exceptions = entry.texts("except")
        self.normal_unless = Words([*entry.texts("unless"), *exceptions], entry, "unless")
        self.normal_except = Words(exceptions, entry, "except")
        entry.close()

    def _read_modifiers(self, root: Entry, catalog: ConceptCatalog) -> None:
        sides, places, size = root.entry("sides"), root.entry("places"), root.entry("size")
        known = dict.fromkeys(place.name for concept in catalog for place in concept.locations)
        self.sides = {side: Words(sides.texts(side, least=1), sides, side) for side in LATERALITIES}
        self.places = {p: Words(places.texts(p, least=1), places, p, plural=True) for p in known}
        self.grades = [self._grades(entry) for entry in _entries(root, "severities")]
        self._size = _size_pattern(
            *(size.texts(key, least=1) for key in ("below", "above", "range", "mm", "cm"))
        )
        for entry in (sides, places, size):
            entry.close()
        self.breaks = Words(root.texts("breaks"), root, "breaks")
        self.clauses = Words(root.texts("clauses"), root, "clauses")
        self.identity = Words(root.texts("identity"), root, "identity")
        self.conjunction = Words(root.texts("conjunction"), root, "conjunction")

    def _read_concepts(self, catalog: ConceptCatalog) -> tuple[list[Term], list[Term]]:
        """Return the names of concepts, and those that count only where denied, in catalogue order."""
        terms: list[Term] = []
        denied_only: list[Term] = []
        given = dict(self._root.named("concepts", "concept"))
        for name in given:
            if name not in catalog:
                raise self._root.error(
                    "concepts", name, f"is not a concept; use one of: {', '.join(catalog.names)}."
                )
        for concept in catalog:
            entry = given.get(concept.name) or Entry(f"{self._root.where}, concept {concept.name}", {})
            # "no acute disease" is "acute disease", denied. One word could go on: "no finding of pneumonia".
            names = list(self._names(concept))
            plain = [name for name in names if not self._negator.at(name, 0)]
            denied = [name.partition(" ")[2] for name in names if name not in plain and name.count(" ") > 1]
            words = Words([*entry.texts("terms"), *plain], entry, "terms", self._gap, plural=True)
            terms.append(Term(words, (concept.name,)))
            if denied := [*entry.texts("denied"), *denied]:
                denied_only.append(Term(Words(denied, entry, "denied", plural=True), (concept.name,)))
            self.words[concept.name] = self._concept_words(entry, concept)
            entry.close()
        return terms, denied_only

    def _names(self, concept: Concept) -> Iterator[str]:
        for name in dict.fromkeys((concept.preferred_name, *concept.synonyms)):
            pattern = re.escape(name).replace("\\ ", " ").replace("\\-", " ")
            for spelling in self._spellings:
                pattern = re.sub(spelling, spelling, pattern)
            yield pattern

    def _concept_words(self, entry: Entry, concept: Concept) -> ConceptWords:
        severities, sides, sizes = (entry.entry(key, {}) for key in ("severities", "sides", "sizes"))
        words = ConceptWords(
            {
                g: Words(severities.texts(g), severities, g)
                for g in concept.severities
                if g in severities.keys()
            },
            {s: Words(sides.texts(s), sides, s) for s in concept.lateralities if s in sides.keys()},
            {g: _range(sizes, g) for g in concept.severities if g in sizes.keys()},
        )
        for group in (severities, sides, sizes):
            group.close()
        return words

    def _term(self, entry: Entry, catalog: ConceptCatalog, key: str = "denies", least: int = 1) -> Term:
        words = Words(entry.texts("terms", least=1), entry, "terms", plural=True, listed=self._listed)
        term = Term(words, entry.texts(key, catalog.names, least=least))
        entry.close()
        return term

    def _special(self, entry: Entry, catalog: ConceptCatalog) -> tuple[str, Term]:
        structure = entry.text("structure", self._structures)
        words = Words(entry.texts("words", least=1), entry, "words")
        term = Term(words, entry.texts("denies", catalog.names, least=1))
        entry.close()
        return structure, term

    def _grades(self, entry: Entry) -> tuple[tuple[str, ...], Words]:
        grades = entry.texts("grades", least=1)
        words = Words(entry.texts("words", least=1), entry, "words")
        entry.close()
        return grades, words


def _range(entry: Entry, key: str) -> tuple[float, float]:
    value = entry.take(key)
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(v, int | float) for v in value):
        raise entry.error(key, value, "is not a range in mm; write [from, to].")
    return float(value[0]), float(value[1])


def _entries(root: Entry, key: str) -> list[Entry]:
    """Return the mappings of a list."""
    items = root.take(key)
    if not isinstance(items, list):
        raise root.error(key, items, "is not a list of mappings; write one an item after `- `.")
    return [Entry(f"{root.where}, key {key}, item {i}", item) for i, item in enumerate(items, 1)]


def _size_pattern(*words: Sequence[str]) -> re.Pattern[str]:
    below, above, to, mm, cm = ("|".join(map(re.escape, group)) for group in words)
    number = r"\d+(?:\.\d+)?"
    return re.compile(
        rf"(?:(?:(?P<below>{below})|(?P<above>{above}))\s*)?(?<![\d.])(?P<low>{number})"
        rf"(?:\s*(?:{to})\s*(?P<high>{number}))?[\s-]*(?:(?P<mm>{mm})|(?P<cm>{cm}))\b",
        re.IGNORECASE,
    )
