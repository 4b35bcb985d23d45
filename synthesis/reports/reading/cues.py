"""Negation and uncertainty: which findings of a sentence are there, after NegEx and ConText.

Chapman WW et al., "A simple algorithm for identifying negated findings and diseases in discharge summaries",
J Biomed Inform 2001, doi:10.1006/jbin.2001.1029. Harkema H et al., "ConText: an algorithm for determining
negation, experiencer, and temporal status from clinical reports", J Biomed Inform 2009,
doi:10.1016/j.jbi.2009.05.002.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from synthesis.configuration import shipped
from synthesis.reports.reading.answers import AnswerReader
from synthesis.reports.reading.answers import Status as Status
from synthesis.reports.reading.exclusive_lists import ExclusiveLists
from synthesis.reports.reading.word_groups import WordGroups
from synthesis.reports.reading.words import Span, Words, small
from synthesis.strict_yaml import Entry

DEFAULT_CUES = shipped("configs/reports/cues.yaml")

_STATUS: dict[str, Status | None] = {
    "negation": "absent",
    "uncertainty": "uncertain",
    "hypothetical": None,
    "past": None,
}
_CONTRARY: dict[Status | None, Status] = {"present": "absent", "absent": "present"}
_WHOLE = ("contrary", "conditions", "requests")  # speak of all that follows
_OTHERS = dict.fromkeys((*_WHOLE, "neutral", "hypothetical", "past", "terminators"), "")
_OTHERS |= {"hypothetical": "before", "past": "after"}
_REPEATED = ("negation", "uncertainty")
_PARTING = ("terminators", "unchanged")
_TWOFOLD = re.compile(r"\w+ or (\w+ )?not\b", re.IGNORECASE)
_INTRODUCES = re.compile(r":(?!\d)|\s[-–]\s")


@dataclass(frozen=True)
class _Cue:
    start: int
    end: int
    meaning: str  # negation, uncertainty, hypothetical, terminators, neutral, unchanged, contrary, conditions
    keys: frozenset[str]  # before: speaks of what follows; after: of what precedes; around: of both

    @property
    def before(self) -> bool:
        return not self.keys.isdisjoint(("before", "around"))

    @property
    def after(self) -> bool:
        return not self.keys.isdisjoint(("after", "around"))


class Cues:
    """Decides about each finding of a sentence whether it is asserted, denied or doubted.

    Args:
        path: The YAML file; None takes ``configs/reports/cues.yaml``, whose comments explain its keys.

    Attributes:
        sha256: Of the file.
        known: Every word in the file: none is a misspelling.
        classes: What a class of words in the file stands for.
        answers: Finds answers without their noun.
        only: Finds lists of which only some are there.
        purposes: Headings under which nothing is asserted: the history, the reason for the study.

    Raises:
        YamlError: If the file is malformed.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        root, content = Entry.read(DEFAULT_CUES if path is None else Path(path))
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.known = frozenset(re.findall("[a-z]+", content.decode("utf-8").lower()))
        self.classes = _classes(root.entry("classes", {}))
        found: list[tuple[tuple[str, str], Words]] = []
        # Of two cues in the same place, the first one counts.
        found.append((("unchanged", ""), self._of(root, "unchanged", 1)))
        for meaning in ("negation", "uncertainty"):
            entry = root.entry(meaning)
            for key in ("before", "after", "around"):
                found.append(((meaning, key), self._of(entry, key, key != "around")))
            entry.close()
        for key, place in _OTHERS.items():
            least = key in ("neutral", "hypothetical", "terminators")
            found.append(((key, place), self._of(root, key, least)))
        self._words = WordGroups(found)
        asides = root.entry("asides")
        following = asides.text("followed_by")
        said = [f"({aside}) ?,?(?= ({following}))" for aside in asides.texts("words", least=1)]
        self._asides = Words(said, asides, "words")
        asides.close()
        self.purposes = Words(root.texts("purposes", least=1), root, "purposes")
        self._echoes = self._of(root, "echoes")
        self._repeats = self._of(root, "repeats")
        self._changes = self._of(root, "changes")
        self._elided = self._of(root, "elided")
        self._yielding = self._of(root, "yielding")
        self._alternatives = self._of(root, "alternatives", 1)
        self._fresh = self._of(root, "fresh")
        self._verbs = Words([root.text("verbs")], root, "verbs")
        self._identifies = Words([root.text("identifies")], root, "identifies")
        self._definite = self._of(root, "definite")
        self._asks = self._of(root, "asks")
        self._closing = Words(
            Words.with_classes([root.text("closing")], self.classes, root, "closing"), root, "closing"
        )
        self._topics = self._of(root, "topics")
        self.only = ExclusiveLists(root.entry("only"))
        self.answers = AnswerReader(root.entry("answers", {}), self.classes)
        lists = root.entry("lists")
        self._and = Words(lists.texts("and", least=1), lists, "and")
        self._or = Words(lists.texts("or", least=1), lists, "or")
        self._subject = Words(lists.texts("subjects", least=1), lists, "subjects")
        lists.close()
        root.close()

    def _of(self, entry: Entry, key: str, least: int = 0) -> Words:
        """Return the words under a key, with what their classes stand for."""
        texts = Words.with_classes(entry.texts(key, least=least), self.classes, entry, key)
        return Words(texts, entry, key)

    def statuses(
        self, sentence: str, spans: Sequence[Span], structures: Collection[Span] = ()
    ) -> list[Status | None]:
        """Return for each finding of a sentence whether it is there.

        Args:
            sentence: One sentence, without its asides.
            spans: Start and end of each finding in it, in order.
            structures: Those of them that are structures called normal: "heart or lungs" doubts neither.

        Returns:
            A status for each; None for what is neither asserted nor denied (the past, advice).
        """
        nearest: list[tuple[int, Status | None]] = [(len(sentence), "present")] * len(spans)
        cues = self._find(sentence)
        for cue in cues:
            if cue.meaning not in _STATUS:
                continue
            reached = self._ahead(cue, cues, sentence, spans) if cue.before else []
            if cue.after and ("around" in cue.keys or not reached):
                reached = [*reached, *self._behind(cue, cues, sentence, spans)]
            asks = cue.meaning == "uncertainty" and self._asks.search(sentence[: cue.end])
            for i in reached:
                if asks and self._identified(sentence, spans, i):
                    continue
                start, end = spans[i]
                distance = max(start - cue.end, cue.start - end, 0)
                if distance <= nearest[i][0]:
                    nearest[i] = (distance, _STATUS[cue.meaning])
        statuses = [status for _, status in nearest]
        for i, (first, second) in enumerate(pairwise(spans)):
            if self._of_no_change(cues, first[0]):
                continue  # of "no change in edema or effusion" both are there
            stated = {statuses[i], statuses[i + 1]} <= {"present", "uncertain"}
            if (
                stated
                and not {first, second} & set(structures)
                and self._either(_blanked(sentence, cues, first[1], second[0]))
            ):
                statuses[i] = statuses[i + 1] = "uncertain"
        for cue in cues:
            if cue.meaning in _WHOLE:
                self._turn(cue, cues, sentence, spans, statuses)
        return statuses

    def _turn(
        self,
        cue: _Cue,
        cues: Sequence[_Cue],
        sentence: str,
        spans: Sequence[Span],
        statuses: list[Status | None],
    ) -> None:
        """Turn what is said after a cue into its contrary, or into nothing, up to a terminator."""
        ends = (c.start for c in cues if c.start > cue.end + 1 and c.meaning == "terminators")
        limit = min(ends, default=None)
        for i, (start, _) in enumerate(spans):
            if cue.end <= start and (limit is None or start < limit):
                status = statuses[i]
                if cue.meaning == "contrary" and self._identified(sentence, spans, i):
                    continue
                turned = _CONTRARY.get(status) if cue.meaning == "contrary" else None
                statuses[i] = status if status == "uncertain" and cue.meaning != "requests" else turned

    def _identified(self, sentence: str, spans: Sequence[Span], i: int) -> bool:
        """Return whether a finding is only said to be another one: "(whether) the opacity is pneumonia"."""
        if i + 1 >= len(spans) or not self._identifies.fills(sentence[spans[i][1] : spans[i + 1][0]]):
            return False
        return any(end >= spans[i][0] - 1 for _, end in self._definite.spans(sentence[: spans[i][0]]))

    def without_elided(self, clause: str, before: str) -> str:
        """Return "the left effusion is not" without its last words after a clause that tells a change."""
        if before and small(clause).rstrip(" .,!?").endswith("not") and self._changes.search(before):
            for start, _ in self._elided.spans(clause):
                return clause[:start]
        return clause

    def _find(self, sentence: str) -> list[_Cue]:
        """Return the cues of a sentence in order: the longest where several overlap."""
        found: dict[Span, _Cue] = {}
        for (meaning, key), span in self._words.find(sentence):
            known = found.get(span)
            if known is None or known.meaning == meaning:
                keys = (known.keys if known else frozenset()) | {key}
                found[span] = _Cue(*span, meaning, keys)
        chosen: list[_Cue] = []
        for cue in sorted(found.values(), key=lambda c: c.start - c.end):
            if all(cue.end <= other.start or other.end <= cue.start for other in chosen):
                chosen.append(cue)
        chosen.sort(key=lambda c: c.start)
        for i in range(1, len(chosen)):
            cue, last = chosen[i], chosen[i - 1]
            said = sentence[cue.start : cue.end]
            doubted = last.meaning == "uncertainty" or (last.meaning == "unchanged" and cue.before)
            if doubted and self._echoes.fills(said):
                chosen[i] = replace(cue, meaning=last.meaning, keys=frozenset({"before"}))
            elif cue.meaning == "neutral" and last.meaning in _REPEATED and self._repeats.fills(said):
                chosen[i] = replace(cue, meaning=last.meaning, keys=frozenset({"before"}))
            elif (
                said[-1] in "tT" and self._elided.fills(said) and self._changes.search(sentence[: cue.start])
            ):
                chosen[i] = replace(cue, meaning="neutral")  # "the effusion is larger, the mass is not"
        return self._without_yielding(sentence, chosen)

    def without_asides(self, sentence: str) -> str:
        """Return a sentence of the same length without ", however," and the like between subject and verb.

        What it speaks of joins the rest: "As for pneumonia, the film gives no support."
        """
        for start, end in self._topics.spans(sentence):
            comma = sentence.find(",", end)
            sentence = sentence[:start] + " " * (end - start) + sentence[end:]
            if comma >= 0:
                sentence = f"{sentence[:comma]} {sentence[comma + 1 :]}"
        for start, end in self._asides.spans(sentence):
            start = len(sentence[:start].rstrip(", "))
            sentence = sentence[:start] + " " * (end - start) + sentence[end:]
        return sentence

    def _without_yielding(self, sentence: str, cues: list[_Cue]) -> list[_Cue]:
        """Drop the doubts that say nothing because they stand in the reach of a negation."""
        yielding = set(self._yielding.spans(sentence))
        kept: list[_Cue] = []
        for cue in cues:
            before = next((c for c in reversed(kept) if c.before or c.meaning == "terminators"), None)
            if before is not None and before.meaning == "negation" and (cue.start, cue.end) in yielding:
                if self._clause_end(sentence, before, cue.start) == cue.start:
                    continue
            kept.append(cue)
        return kept

    def _ahead(self, cue: _Cue, cues: Sequence[_Cue], sentence: str, spans: Sequence[Span]) -> list[int]:
        """Return the findings after a cue, and around it, that it speaks of."""
        stops = (c.start for c in cues if c.start >= cue.end and (c.meaning in _PARTING or c.before))
        limit = self._clause_end(sentence, cue, min(stops, default=len(sentence)))
        return [
            i
            for i, (start, end) in enumerate(spans)
            if cue.end <= start < limit or (start <= cue.start and cue.end <= end)
        ]

    def _clause_end(self, sentence: str, cue: _Cue, limit: int) -> int:
        """Return where the list after a cue ends: before a comma or "and" that opens a new clause."""
        separators = list(self._and.spans(sentence, cue.end, limit))
        ends = [start for start, _ in separators[1:]] + [limit]
        for (start, begin), end in zip(separators, ends, strict=False):
            item = sentence[begin:end].lstrip()
            listed = sentence[start] != "," or any(self._or.spans(sentence, begin, limit))
            fresh = self._fresh.at(item, 0) and not listed
            if fresh or self._subject.at(item, 0) or self._has_verb(item):
                return start
        return limit

    def _behind(self, cue: _Cue, cues: Sequence[_Cue], sentence: str, spans: Sequence[Span]) -> list[int]:
        """Return the findings before a cue that it speaks of."""
        stops = (c.end for c in cues if c.end <= cue.start and (c.meaning == "terminators" or c.before))
        begin = max(stops, default=0)
        comma = sentence.rfind(",", begin, cue.start)
        closed = any(any(words.spans(sentence, comma + 1, cue.start)) for words in (self._and, self._or))
        # "pneumothorax, effusion: none"
        closed |= ":" in (sentence[cue.start], sentence[: cue.start].rstrip()[-1:])
        following = sentence[cue.end :].strip()[:1]
        apart = sentence[comma + 1 : cue.start].strip() or following not in ("", ",", ".")
        if comma >= 0 and not apart:  # "nodule, questionable, left apex"
            comma, closed = sentence.rfind(",", begin, comma), False
        if comma >= 0 and not closed:  # not the last comma of "a, b and c"
            begin = comma
        for mark in _INTRODUCES.finditer(sentence, begin, cue.start):
            if any(mark.end() <= start < cue.start for start, _ in spans):  # "opacity: atelectasis?"
                begin = mark.end()
        for start, end in self._and.spans(sentence, begin, cue.start):
            if self._has_verb(sentence[begin:start]):
                begin = end
        return [i for i, (start, end) in enumerate(spans) if begin <= start and end <= cue.start]

    def last_clause(self, sentence: str, spans: Sequence[Span]) -> int:
        """Return where the last clause with a verb of its own and a finding starts."""
        begin = 0
        for start, end in self._and.spans(sentence):
            named = any(first >= end for first, _ in spans)
            if named and self._has_verb(sentence[begin:start]) and self._has_verb(sentence[end:]):
                begin = end
        return begin

    def _of_no_change(self, cues: Sequence[_Cue], start: int) -> bool:
        """Return whether the last cue before a position denies a change of what follows."""
        before = next((cue for cue in reversed(cues) if cue.end <= start), None)
        return before is not None and before.meaning == "unchanged"

    def _has_verb(self, clause: str) -> bool:
        """Return whether a clause has a verb of its own, other than the "is seen" that closes a list."""
        return any(not self._closing.at(clause, start) for start, _ in self._verbs.spans(clause))

    def _either(self, between: str) -> bool:
        """Return whether the words between two findings make them alternatives."""
        return (
            "," not in self._alternatives.without(between)
            and self._alternatives.search(between) is not None
            and not self._has_verb(between)
        )


def _blanked(sentence: str, cues: Sequence[_Cue], start: int, end: int) -> str:
    """Return a stretch of a sentence without the cues in it that merely hold an "or" ("may or may not")."""
    for cue in cues:
        if start <= cue.start and cue.end <= end and _TWOFOLD.search(sentence, cue.start, cue.end):
            sentence = sentence[: cue.start] + " " * (cue.end - cue.start) + sentence[cue.end :]
    return sentence[start:end]


def _classes(entry: Entry) -> dict[str, str]:
    """Return what each class of words stands for; a class may use those before it."""
    classes: dict[str, str] = {}
    for name in entry.keys():
        classes[name] = Words.with_classes([entry.text(name)], classes, entry, name)[0]
    return classes
