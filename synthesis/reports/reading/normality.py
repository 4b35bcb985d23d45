"""Structures that a sentence calls normal: "heart size is normal", "bones are without acute abnormality"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from synthesis.reports.reading.lexicon import Lexicon
from synthesis.reports.reading.name import Name
from synthesis.reports.reading.words import Span


class NormalityReader:
    """Finds the structures that are called normal, also in lists ("heart, hila and mediastinum are normal").

    Args:
        lexicon: Knows the structures, and the words that call them normal.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def read(self, sentence: str, names: Sequence[Name]) -> tuple[list[Name], list[Span]]:
        """Return the structures that a sentence calls normal, and the words that say so.

        Each structure comes with the concepts that this denies; several words may call it normal.
        """
        lexicon = self._lexicon
        structures = [name for name in names if name.kind == "structure"]
        if not structures or lexicon.normal_unless.search(sentence):
            return [], []
        taken = [name for name in names if name.kind not in ("structure", "denied_only")]
        normal: dict[Span, Name] = {}
        phrases: list[Span] = []
        ways = ((lexicon.normal_before, True, False), (lexicon.normal_after, False, False))
        elided = ((lexicon.elided_before, True, True), (lexicon.elided_after, False, True))
        for words, ahead, short in (*ways, *elided):
            for start, end in words.spans(sentence):
                if short and not lexicon.abnormal.search(sentence[:start]):
                    continue  # "the heart is enlarged, the mediastinum is not"
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

    def _directly_before(self, sentence: str, structures: Sequence[Name], end: int) -> bool:
        """Return whether a word stands right before a structure: "normal (size of the) heart"."""
        between = (sentence[end : name.start] for name in structures if name.start >= end)
        return any(not words.strip() or self._lexicon.normal_of.fills(words) for words in between)

    def _chain(self, sentence: str, structures: Sequence[Name], edge: int, ahead: bool) -> Iterator[Name]:
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

    def _called(self, name: Name, word: str) -> Name:
        """Return a structure with what is denied by the word that calls it normal."""
        for structure, term in self._lexicon.special:
            if structure == name.structure and term.words.search(word):
                return replace(name, denies=term.concepts)
        return name
