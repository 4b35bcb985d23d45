"""Reading a report back: which concepts it names, on which side, how severe, and whether they are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.headings import section_headings
from synthesis.reports.reading.cues import Cues, Status
from synthesis.reports.reading.lexicon import Lexicon
from synthesis.reports.reading.modifiers import ModifierReader, Owner
from synthesis.reports.reading.name import Name
from synthesis.reports.reading.normality import NormalityReader
from synthesis.reports.reading.spelling import SpellingCorrector, moved
from synthesis.reports.reading.words import Span
from synthesis.reports.sentences import sentence_spans

_CLAUSE = re.compile(r"[^;]+")
_PLAIN = str.maketrans({"\n": " ", "\r": " ", "\t": " ", "\u00a0": " ", "\u2019": "'"})  # letter for letter
_NOT = re.compile(r"(?<=[sedo])n't\b", re.IGNORECASE)
_REMEMBERED = 1 << 14
_SOON = 12  # letters: room for a verb


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


class EntityExtractor:
    """Finds the concepts of the catalogue in a report, by rules: no weights, and every decision can be read.

    Names come from the catalogue and a lexicon; negation and uncertainty from cues (`Cues`);
    sides, places and degrees from the words around (`modifiers`). A structure that is called normal
    ("heart size is normal") denies the concepts that the lexicon lists for it (`normality`).

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        lexicon: File with further words; None takes the one that the catalogue names, else
            ``configs/reports/lexicon.yaml``.
        cues: File with the cues; None takes ``configs/reports/cues.yaml``.

    Raises:
        YamlError: If a file is malformed.
    """

    version: int = 9  # of the results, see synthesis.identity

    def __init__(
        self,
        catalog: str | Path | None = None,
        lexicon: str | Path | None = None,
        cues: str | Path | None = None,
    ) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        self._lexicon = Lexicon(self._catalog, lexicon)
        self._modifiers = ModifierReader(self._lexicon)
        self._normality = NormalityReader(self._lexicon)
        self._cues = Cues(cues)
        names = [name for concept in self._catalog for name in (concept.preferred_name, *concept.synonyms)]
        self._spelling = SpellingCorrector(names, self._lexicon.known | self._cues.known)
        self._known: dict[tuple[str, Status | None], tuple[Mention, ...]] = {}

    @classmethod
    def load(cls, catalog: str | Path | None = None) -> EntityExtractor:
        """Return the extractor of a catalogue with the rules that fit it, which are read once a process."""
        return _load(ConceptCatalog.load(catalog))

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
        mentions: list[Mention] = []
        before, begin, first = "", 0, 0  # the clause before, its start, and its first mention
        for start, end in self._asserting(text):
            for clause in _CLAUSE.finditer(text, start, end):
                said = _NOT.sub(" nt", clause.group().translate(_PLAIN))
                answer = self._cues.answers.status(said) if before else None
                found = self._read(before, answer) if answer else ()
                if found:  # "Yesterday there was edema; today there is none."
                    del mentions[first:]
                else:
                    said = self._cues.without_elided(said, before) if clause.start() > start else said
                    before, begin, first = said, clause.start(), len(mentions)
                    found = self._read(said)
                mentions += [replace(m, start=m.start + begin, end=m.end + begin) for m in found]
        return mentions

    def _asserting(self, text: str) -> Iterator[Span]:
        """Yield the sentences of a text that are not under a heading of another purpose ("HISTORY: …")."""
        headed = section_headings(text)
        begins = [heading for heading in headed if heading.kind in ("findings", "impression")]
        silent: list[Span] = []
        for i, heading in enumerate(headed):
            if self._cues.purposes.fills(text[heading.start : heading.end].rstrip(": ")):
                until = min((h.start for h in headed[i + 1 :]), default=0)
                sections = any(h.start >= heading.end for h in begins)
                silent.append((heading.start, until if sections else heading.start + 1))
        for start, end in sentence_spans(text):
            if not any(first <= start < last for first, last in silent):
                yield start, end

    def _read(self, sentence: str, answer: Status | None = None) -> tuple[Mention, ...]:
        """Return the mentions of a sentence, from memory if it was met before, as most of a corpus were.

        Args:
            sentence: The sentence.
            answer: What the next one says of all that this one names.
        """
        mentions = self._known.get((sentence, answer))
        if mentions is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            mentions = self._known[sentence, answer] = self._read_misspelt(sentence, answer)
        return mentions

    def _read_misspelt(self, sentence: str, answer: Status | None) -> tuple[Mention, ...]:
        corrected, moves = self._spelling.corrected(sentence)
        mentions = self._read_sentence(corrected, answer)
        if not moves:
            return mentions
        return tuple(replace(m, start=moved(m.start, moves), end=moved(m.end, moves)) for m in mentions)

    def _read_sentence(self, sentence: str, answer: Status | None) -> tuple[Mention, ...]:
        names = self._names(sentence)
        if names and answer is None:
            named = max(name.end for name in names)
            if (ending := self._cues.answers.at_end(sentence, named)) is not None:
                sentence, answer = sentence[: ending[0]], ending[1]
        plain = self._cues.without_asides(sentence)
        normal, phrases = self._normality.read(plain, names)
        names = [name for name in names if name.kind != "structure" and not name.says_nothing_in(phrases)]
        names = sorted([*names, *normal], key=lambda name: (name.start, -name.end))
        nouns = [name for name in names if name.kind != "ignore"]
        if not nouns:
            return ()
        hidden = [name.span for name in names if name.kind == "ignore"]
        structures = {name.span for name in nouns if name.kind == "structure"}
        spans = [name.span for name in nouns]
        statuses = self._cues.statuses(_blanked(plain, phrases), spans, structures)
        if answer is not None:
            begin = self._cues.last_clause(sentence, spans)
            statuses = [answer if s[0] >= begin else old for s, old in zip(spans, statuses, strict=True)]
        out, repeated = self._cues.only.left_out(plain, nouns)
        statuses = [
            None if i in repeated else "absent" if i in out else status for i, status in enumerate(statuses)
        ]
        owners = [
            Owner(*name.span, _group(name, status)) for name, status in zip(nouns, statuses, strict=True)
        ]
        self._modifiers.read(sentence, owners, hidden)
        return tuple(
            self._mention(sentence, name, concept, owner, stated)
            for name, owner, status in zip(nouns, owners, statuses, strict=True)
            for concept, stated in _stated(name, status)
        )

    def _mention(self, sentence: str, name: Name, concept: str, owner: Owner, status: Status) -> Mention:
        entry = self._catalog[concept]
        return Mention(
            concept,
            status,
            self._modifiers.side(owner, entry, sentence),
            self._modifiers.severity(owner, entry),
            *name.span,
            self._modifiers.place(owner, entry),
        )

    def _names(self, sentence: str) -> list[Name]:
        """Return the names in a sentence in order; of those that overlap, one."""
        lexicon = self._lexicon
        whole = lexicon.normal_unless.search(sentence) is None
        excepted = lexicon.normal_except.search(sentence) is not None
        found = [Name(*span, "ignore") for span in lexicon.ignore.spans(sentence)]
        named: dict[Span, tuple[str, ...]] = {}
        denied: dict[Span, tuple[str, ...]] = {}
        structures: list[Name] = []
        for (kind, structure, concepts), span in lexicon.names.find(sentence):
            if kind == "concept":
                named[span] = concepts
            elif kind == "denied_only":
                denied[span] = concepts
            elif kind == "denial":
                found.append(Name(*span, kind, (), concepts))
            else:
                structures.append(Name(*span, kind, (), concepts, structure))
        found += [
            Name(*span, "concept", concepts, denied.get(span, concepts))
            for span, concepts in named.items()
            if whole or concepts != (NO_FINDING,)  # "normal chest, apart from a nodule"
        ]
        found += [
            Name(*span, "denied_only", (), denies)
            for span, denies in denied.items()
            if span not in named and not excepted  # "no abnormality other than an old fracture"
        ]
        found += [Name(*span, "concept") for span in lexicon.others.spans(sentence) if span not in named]
        chosen: list[Name] = []
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
        chosen.sort(key=lambda name: (name.start, -name.end))
        chosen += list(self._elided(sentence, chosen))
        return sorted(chosen, key=lambda name: (name.start, -name.end))

    def _elided(self, sentence: str, names: Sequence[Name]) -> Iterator[Name]:
        """Yield what a mere side stands for: the name before it ("while the left has grown")."""
        for start, end in self._lexicon.ellipses.spans(sentence):
            before = [n for n in names if n.kind in ("concept", "structure") and n.start < start]
            if not before or any(n.start < end and start < n.end for n in names):
                continue
            normal = self._lexicon.normal_after.search(sentence[end:])
            if before[-1].kind == "concept" and normal is not None and normal.start() < _SOON:
                continue  # "while the left is clear"
            side = "right" if "left" in sentence[start:end].lower() else "left"
            if side in sentence[:start].lower():
                yield replace(before[-1], start=start, end=end, inside=False)


def _blanked(sentence: str, phrases: Sequence[Span]) -> str:
    """Return a sentence of the same length without some of its words, which deny or doubt nothing."""
    for start, end in phrases:
        if " " not in sentence[start:end]:
            continue  # "clear" denies nothing, but "clear of" does
        sentence = sentence[:start] + " " * (end - start) + sentence[end:]
    return sentence


def _group(name: Name, status: Status | None) -> str | None:
    """Return which names may share a side: those asserted or doubted, and those denied."""
    return None if name.kind != "concept" else "denied" if status == "absent" else "stated"


def _stated(name: Name, status: Status | None) -> Iterator[tuple[str, Status]]:
    """Yield what it says about which concepts that a name is asserted, denied or doubted."""
    if name.kind in ("structure", "denial"):  # what is asserted is that it is normal, or gone
        yield from ((concept, "absent") for concept in name.denies if status == "present")
    elif status == "absent":
        # To deny any abnormality is to assert that nothing is found; to deny that all is normal says nothing.
        denied: Status = "present" if name.denies == (NO_FINDING,) else "absent"
        yield from ((concept, denied) for concept in name.denies if name.asserts != (NO_FINDING,))
    elif status is not None:
        yield from ((concept, status) for concept in name.asserts)


@lru_cache(maxsize=4)
def _load(catalog: ConceptCatalog) -> EntityExtractor:
    return EntityExtractor(catalog.path)
