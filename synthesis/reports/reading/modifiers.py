"""Sides, places and degrees: which finding of a sentence each of them belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from synthesis.concepts import Concept
from synthesis.reports.reading.lexicon import Lexicon
from synthesis.reports.reading.word_groups import WordGroups
from synthesis.reports.reading.words import Words


@dataclass(frozen=True)
class Modifier:
    """One word or phrase that modifies a finding.

    Attributes:
        start: Where it starts in the sentence.
        end: Where it ends.
        kind: "side", "place", "grade", "own grade" (of one concept only), "size", or "shared side" (said of a
            neighbour).
        values: The side, the place, or the grades that it may mean.
        concept: The concept of an own grade.
        millimetres: The size.
    """

    start: int
    end: int
    kind: str
    values: tuple[str, ...] = ()
    concept: str = ""
    millimetres: float = 0.0

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether it shares characters with a stretch of the sentence."""
        return self.start < end and start < self.end


@dataclass
class Owner:
    """A noun that modifiers may belong to.

    Attributes:
        start: Where it starts in the sentence.
        end: Where it ends.
        group: It may share modifiers with neighbours of the same group; None: with nobody.
        modifiers: What belongs to it.
    """

    start: int
    end: int
    group: str | None
    modifiers: list[Modifier] = field(default_factory=list)

    def of(self, kind: str) -> list[Modifier]:
        """Return its modifiers of one kind."""
        return [modifier for modifier in self.modifiers if modifier.kind == kind]


class ModifierReader:
    """Finds sides, places, degrees and sizes, and gives them to the nouns of a sentence.

    Args:
        lexicon: Knows the words.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        kinds = (("side", lexicon.sides), ("place", lexicon.places))
        groups: list[tuple[tuple[str, tuple[str, ...], str], Words]] = [
            ((k, (value,), ""), words) for k, group in kinds for value, words in group.items()
        ]
        groups += [(("grade", grades, ""), words) for grades, words in lexicon.grades]
        for concept, own in lexicon.words.items():
            groups += [(("own grade", (grade,), concept), words) for grade, words in own.severities.items()]
        self._words = WordGroups(groups)

    def read(self, sentence: str, owners: Sequence[Owner], hidden: Sequence[tuple[int, int]]) -> None:
        """Fill in the modifiers of each noun.

        A modifier belongs to the noun around it; else to the next noun if nothing parts them ("left basal
        atelectasis") or both stand in a clause of their own ("…, the left lobe is consolidated"); else to the
        noun before ("consolidation in the left base"); else to the next one after all. Then neighbours share
        what is said once: the side of "left opacity consistent with pneumonia".

        Args:
            sentence: The sentence.
            owners: Its nouns, in order.
            hidden: Stretches of the sentence whose words modify nothing.
        """
        modifiers = [m for m in self._find(sentence) if not any(m.overlaps(*span) for span in hidden)]
        for modifier in modifiers:
            owner = self._owner(sentence, modifier, owners)
            if owner is not None:
                owner.modifiers.append(modifier)
        for first, second in pairwise(owners):
            if first.group is not None and first.group == second.group:
                self._share(sentence, modifiers, first, second)

    def side(self, owner: Owner, concept: Concept, sentence: str) -> str | None:
        """Return the side that a finding is said to be on; None if the text or the concept gives none."""
        if not concept.lateralities:
            return None
        name = sentence[owner.start : owner.end]
        own = self._lexicon.words[concept.name].sides.items()
        sides = {side for m in owner.of("side") for side in m.values}
        sides |= {side for side, words in own if words.search(name)}
        if not sides:
            shared = {side for m in owner.of("shared side") for side in m.values}
            sides = shared.intersection(concept.lateralities)
        return (sides.pop() if len(sides) == 1 else "bilateral") if sides else None

    def place(self, owner: Owner, concept: Concept) -> str | None:
        """Return the place of a finding, one of those of its concept; None if the text names none."""
        places = {place.name for place in concept.locations}
        named = [m for m in owner.of("place") if places.intersection(m.values)]
        return max(named, key=lambda m: m.end - m.start).values[0] if named else None

    def severity(self, owner: Owner, concept: Concept) -> str | None:
        """Return the grade of a finding, one of those of its concept; None if the text gives none.

        A size says most, then a word that grades this concept only, then the general words.
        """
        ranges = self._lexicon.words[concept.name].sizes.items()
        grades = [g for m in owner.of("size") for g, (low, high) in ranges if low <= m.millimetres < high]
        own = [m for m in owner.of("own grade") if m.concept == concept.name]
        grades += [m.values[0] for m in sorted(own, key=lambda m: m.start - m.end)]
        grades += [g for m in owner.of("grade") for g in concept.severities if g in m.values]
        return grades[0] if grades else None

    def _find(self, sentence: str) -> list[Modifier]:
        """Return the modifiers of a sentence in order; of two of one kind that overlap, the longer."""
        kept: list[Modifier] = []
        for modifier in sorted(self._all(sentence), key=lambda m: m.start - m.end):
            # Places may share a word ("basal" of a lung, of a pneumothorax): the concept decides.
            rivals = (k for k in kept if k.kind == modifier.kind != "place")
            if not any(modifier.overlaps(k.start, k.end) for k in rivals):
                kept.append(modifier)
        return sorted(kept, key=lambda m: (m.start, m.end))

    def _all(self, sentence: str) -> Iterator[Modifier]:
        for (kind, values, concept), span in self._words.find(sentence):
            yield Modifier(*span, kind, values, concept)
        for start, end, size in self._lexicon.sizes(sentence):
            yield Modifier(start, end, "size", millimetres=size)

    def _owner(self, sentence: str, modifier: Modifier, owners: Sequence[Owner]) -> Owner | None:
        around = next((o for o in owners if modifier.overlaps(o.start, o.end)), None)
        ahead = next((o for o in owners if o.start >= modifier.end), None)
        behind = next((o for o in reversed(owners) if o.end <= modifier.start), None)
        before = sentence[behind.end : modifier.start] if behind else ""
        after = sentence[modifier.end : ahead.start] if ahead else ""
        close = not self._lexicon.breaks.search(after) and not any(mark in after for mark in ",:()")
        apart = self._parts_clauses(before) and not self._parts_clauses(after)
        return around or (ahead if close or apart else behind) or behind or ahead

    def _parts_clauses(self, between: str) -> bool:
        return "," in between or self._lexicon.clauses.search(between) is not None

    def _share(self, sentence: str, modifiers: Sequence[Modifier], first: Owner, second: Owner) -> None:
        """Let two nouns borrow from each other what one of them lacks."""
        between = "".join(
            " " if any(m.start <= i < m.end for m in modifiers) else sentence[i]
            for i in range(first.end, second.start)
        )
        if self._lexicon.identity.search(between) and self._lexicon.identity.only(between):
            for kind in ("side", "place", "grade", "own grade"):
                _lend(first.of(kind), second, kind)
                _lend(second.of(kind), first, kind)
        elif self._lexicon.conjunction.only(between):
            # "left effusion and atelectasis", "effusion and atelectasis on the left"
            _lend([m for m in first.of("side") if m.start < first.end], second, "side")
            _lend([m for m in second.of("side") if m.start >= second.end], first, "side")


def _lend(modifiers: Sequence[Modifier], borrower: Owner, kind: str) -> None:
    if not borrower.of(kind):
        shared = "shared side" if kind == "side" else kind
        borrower.modifiers += [replace(modifier, kind=shared) for modifier in modifiers]
