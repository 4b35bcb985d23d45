"""Reading a report back: which concepts it names, on which side, how severe, and whether they are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.reading.cues import Cues, Span, Status
from synthesis.reports.reading.lexicon import Lexicon
from synthesis.reports.reading.modifiers import ModifierReader, Owner
from synthesis.reports.sentences import sentence_spans

_CLAUSE = re.compile(r"[^;]+")
_PLAIN = str.maketrans({"\n": " ", "\r": " ", "\t": " ", "\u00a0": " ", "\u2019": "'"})  # letter for letter
_REMEMBERED = 1 << 14


@dataclass(frozen=True)
class Mention:
    """A concept as a text names it.

    Attributes:
        concept: Name of the concept.
        status: Whether the text asserts, denies or doubts it.
        laterality: "left", "right", "bilateral", or None if the text gives no side or the concept has none.
        severity: A grade of the concept, or None.
        start: Where the words start in the text.
        end: Where they end.
        location: A place of the concept, or None.
    """

    concept: str
    status: Status
    laterality: str | None
    severity: str | None
    start: int
    end: int
    location: str | None = None


@dataclass(frozen=True)
class _Name:
    """Words in a sentence, the concepts that they assert or doubt, and those that they deny."""

    start: int
    end: int
    kind: str  # concept, denied_only, structure, denial, ignore
    asserts: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    structure: str = ""
    inside: bool = False  # a structure in the name of a concept: "lungs are hyperinflated"

    @property
    def span(self) -> Span:
        return self.start, self.end

    @property
    def is_normality(self) -> bool:
        return NO_FINDING in (*self.asserts, *self.denies)

    def overlaps(self, other: _Name) -> bool:
        return self.start < other.end and other.start < self.end

    def borders(self, other: _Name) -> bool:
        """Whether the name of a concept begins or ends with this one."""
        return other.kind == "concept" and (self.start == other.start) != (self.end == other.end)

    def says_nothing_in(self, phrases: Sequence[Span]) -> bool:
        """Whether it is the normality that a phrase grants to one structure: "no abnormality of the ribs"."""
        return self.is_normality and any(s <= self.start and self.end <= e for s, e in phrases)


class EntityExtractor:
    """Finds the concepts of the catalogue in a report, by rules: no weights, and every decision can be read.

    Names come from the catalogue and a lexicon; negation and uncertainty from cues (`Cues`);
    sides, places and degrees from the words around (`modifiers`). A structure that is called normal
    ("heart size is normal") denies the concepts that the lexicon lists for it.

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        lexicon: File with further words; None takes ``configs/reports/lexicon.yaml``.
        cues: File with the cues; None takes ``configs/reports/cues.yaml``.

    Raises:
        YamlError: If a file is malformed.
    """

    version: int = 2  # of the results, see synthesis.identity

    def __init__(
        self,
        catalog: str | Path | None = None,
        lexicon: str | Path | None = None,
        cues: str | Path | None = None,
    ) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        self._lexicon = Lexicon(self._catalog, lexicon)
        self._modifiers = ModifierReader(self._lexicon)
        self._cues = Cues(cues)
        self._known: dict[str, tuple[Mention, ...]] = {}

    def describe(self) -> dict[str, Any]:
        """Return what is read depends on: the rules' files and the catalogue."""
        return {
            "catalog_sha256": self._catalog.sha256,
            "lexicon_sha256": self._lexicon.sha256,
            "cues_sha256": self._cues.sha256,
        }

    def extract(self, text: str) -> list[Mention]:
        """Return the mentions of a text in order.

        Args:
            text: A sentence, a section or a whole report; section headings may stand in it.
        """
        return [
            replace(mention, start=mention.start + clause.start(), end=mention.end + clause.start())
            for start, end in sentence_spans(text)
            for clause in _CLAUSE.finditer(text, start, end)
            for mention in self._read(clause.group().translate(_PLAIN))
        ]

    def _read(self, sentence: str) -> tuple[Mention, ...]:
        """Return the mentions of a sentence, from memory if it was met before, as most of a corpus were."""
        mentions = self._known.get(sentence)
        if mentions is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            mentions = self._known[sentence] = self._read_sentence(sentence)
        return mentions

    def _read_sentence(self, sentence: str) -> tuple[Mention, ...]:
        names = self._names(sentence)
        normal, phrases = self._normal_structures(sentence, names)
        names = [name for name in names if name.kind != "structure" and not name.says_nothing_in(phrases)]
        names = sorted([*names, *normal], key=lambda name: (name.start, -name.end))
        nouns = [name for name in names if name.kind != "ignore"]
        if not nouns:
            return ()
        hidden = [name.span for name in names if name.kind == "ignore"]
        structures = {name.span for name in nouns if name.kind == "structure"}
        spans = [name.span for name in nouns]
        statuses = self._cues.statuses(_blanked(sentence, phrases), spans, structures)
        owners = [
            Owner(*name.span, _group(name, status)) for name, status in zip(nouns, statuses, strict=True)
        ]
        self._modifiers.read(sentence, owners, hidden)
        return tuple(
            self._mention(sentence, name, concept, owner, stated)
            for name, owner, status in zip(nouns, owners, statuses, strict=True)
            for concept, stated in _stated(name, status)
        )

    def _mention(self, sentence: str, name: _Name, concept: str, owner: Owner, status: Status) -> Mention:
        entry = self._catalog[concept]
        return Mention(
            concept,
            status,
            self._modifiers.side(owner, entry, sentence),
            self._modifiers.severity(owner, entry),
            *name.span,
            self._modifiers.place(owner, entry),
        )

    def _names(self, sentence: str) -> list[_Name]:
        """Return the names in a sentence in order; of those that overlap, one."""
        lexicon = self._lexicon
        whole = lexicon.normal_unless.search(sentence) is None
        found = [_Name(*span, "ignore") for span in lexicon.ignore.spans(sentence)]
        named = {
            span: term.concepts for term in reversed(lexicon.terms) for span in term.words.spans(sentence)
        }
        denied = {span: term.concepts for term in lexicon.denied_only for span in term.words.spans(sentence)}
        found += [
            _Name(*span, "concept", concepts, denied.get(span, concepts))
            for span, concepts in named.items()
            if whole or concepts != (NO_FINDING,)  # "normal chest, apart from a nodule"
        ]
        found += [
            _Name(*span, "denied_only", (), denies) for span, denies in denied.items() if span not in named
        ]
        found += [
            _Name(*span, "denial", (), term.concepts)
            for term in lexicon.denials
            for span in term.words.spans(sentence)
        ]
        found += [_Name(*span, "concept") for span in lexicon.others.spans(sentence) if span not in named]
        structures = [
            _Name(*span, "structure", (), term.concepts, structure)
            for structure, term in lexicon.structures
            for span in term.words.spans(sentence)
        ]
        chosen: list[_Name] = []
        # A structure gives way ("right lung mass"), else the longer name wins.
        for name in sorted(found, key=lambda n: (n.start - n.end, n.kind != "ignore")):
            if not any(name.overlaps(other) for other in chosen):
                chosen.append(name)
        # … unless it may still be called normal: "lungs are hyperinflated, but clear".
        free = [
            replace(s, inside=any(s.overlaps(c) for c in chosen))
            for s in structures
            if not any(s.overlaps(c) and not s.borders(c) for c in chosen)
        ]
        for name in sorted(free, key=lambda n: n.start - n.end):
            if not any(name.overlaps(other) for other in chosen if other.kind == "structure"):
                chosen.append(name)
        return sorted(chosen, key=lambda name: (name.start, -name.end))

    def _normal_structures(self, sentence: str, names: Sequence[_Name]) -> tuple[list[_Name], list[Span]]:
        """Return the structures that a sentence calls normal, and the words that say so.

        Each structure comes with the concepts that this denies; several words may call it normal.
        """
        lexicon = self._lexicon
        structures = [name for name in names if name.kind == "structure"]
        if not structures or lexicon.normal_unless.search(sentence):
            return [], []
        taken = [name for name in names if name.kind not in ("structure", "denied_only")]
        normal: dict[Span, _Name] = {}
        phrases: list[Span] = []
        for words, ahead in ((lexicon.normal_before, True), (lexicon.normal_after, False)):
            for start, end in words.spans(sentence):
                if any(name.start <= start < name.end and not name.is_normality for name in taken):
                    continue
                if self._directly_before(sentence, structures, end) != ahead:
                    continue
                for name in self._chain(sentence, structures, end if ahead else start, ahead):
                    called = self._called(name, sentence[start:end])
                    known = normal.get(name.span)
                    denies = (*known.denies, *called.denies) if known else called.denies
                    normal[name.span] = replace(name, denies=tuple(dict.fromkeys(denies)))
                    phrases.append((start, end))
        return list(normal.values()), phrases

    def _directly_before(self, sentence: str, structures: Sequence[_Name], end: int) -> bool:
        """Return whether a word stands right before a structure: "normal (size of the) heart"."""
        between = (sentence[end : name.start] for name in structures if name.start >= end)
        return any(not words.strip() or self._lexicon.normal_of.fills(words) for words in between)

    def _chain(self, sentence: str, structures: Sequence[_Name], edge: int, ahead: bool) -> Iterator[_Name]:
        """Yield the structures of the list that starts at an edge and runs ahead, or ends there."""
        join = self._lexicon.join_before if ahead else self._lexicon.join_after
        first = True
        for name in structures if ahead else reversed(structures):
            if name.start < edge if ahead else name.end > edge:
                continue
            between = sentence[edge : name.start] if ahead else sentence[name.end : edge]
            if name.inside and not first:
                return
            if not join.only(between) and not (first and ahead and self._lexicon.normal_of.fills(between)):
                return
            yield name
            edge, first = name.end if ahead else name.start, False

    def _called(self, name: _Name, word: str) -> _Name:
        """Return a structure with what is denied by the word that calls it normal."""
        for structure, term in self._lexicon.special:
            if structure == name.structure and term.words.search(word):
                return replace(name, denies=term.concepts)
        return name


def _blanked(sentence: str, phrases: Sequence[Span]) -> str:
    """Return a sentence of the same length without some of its words, which deny or doubt nothing."""
    for start, end in phrases:
        if " " not in sentence[start:end]:
            continue  # "clear" denies nothing, but "clear of" does
        sentence = sentence[:start] + " " * (end - start) + sentence[end:]
    return sentence


def _group(name: _Name, status: Status | None) -> str | None:
    """Return which names may share a side: those asserted or doubted, and those denied."""
    return None if name.kind != "concept" else "denied" if status == "absent" else "stated"


def _stated(name: _Name, status: Status | None) -> Iterator[tuple[str, Status]]:
    """Yield what it says about which concepts that a name is asserted, denied or doubted."""
    if name.kind in ("structure", "denial"):  # what is asserted is that it is normal, or gone
        yield from ((concept, "absent") for concept in name.denies if status == "present")
    elif status == "absent":
        # To deny any abnormality is to assert that nothing is found; to deny that all is normal says nothing.
        denied: Status = "present" if name.denies == (NO_FINDING,) else "absent"
        yield from ((concept, denied) for concept in name.denies if name.asserts != (NO_FINDING,))
    elif status is not None:
        yield from ((concept, status) for concept in name.asserts)
