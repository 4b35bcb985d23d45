"""Reports by a grammar: no weights, thousands a second, and nothing that the case does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthesis.cases import Case, Finding
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.configuration import shipped
from synthesis.reports.grammar.phrase_bank import LIST, PhraseBank, Style, true_statements
from synthesis.reports.grammar.phrases import Phrasing, count
from synthesis.reports.grammar.speech import Draw, attach, phrase, section, sentence, stream
from synthesis.reports.report import Report

DEFAULT_PHRASES = shipped("configs/reports/grammar.yaml")


@dataclass(frozen=True)
class _Sentence:
    """A sentence of FINDINGS that has no place yet.

    Attributes:
        text: The sentence, without a full stop.
        region: The part of the chest that it is about.
        abnormal: Whether it states a finding.
        tie: A number that decides between sentences of equal rank.
        carries: Regions whose concepts may be denied in the same sentence.
    """

    text: str
    region: str
    abnormal: bool
    tie: float
    carries: frozenset[str] = frozenset()


class GrammarWriter:
    """Writes reports from a phrase bank: the embedded `ReportWriter`.

    Each sentence draws from a random stream of its own, keyed by its subject. So the reports of a case and of
    the same case without one finding, written with the same seed, differ in what they say about that finding
    and in the normal statements that its absence allows.

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        phrases: The phrase bank; None takes the one that the catalogue names, else
            ``configs/reports/grammar.yaml``.

    Attributes:
        version: Of how the bank becomes text, see `synthesis.identity`.

    Raises:
        YamlError: If the bank is malformed or does not fit the catalogue.
    """

    version: int = 1

    def __init__(self, catalog: str | Path | None = None, phrases: str | Path | None = None) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        bank = self._catalog.phrases or DEFAULT_PHRASES if phrases is None else Path(phrases)
        self._bank = PhraseBank(bank, self._catalog)
        self._compiled: dict[tuple[Finding, str, str, str], list[Phrasing]] = {}

    def describe(self) -> dict[str, Any]:
        """Return what the text depends on: the phrase bank and the catalogue."""
        return {
            "phrases_sha256": self._bank.sha256,
            "catalog_sha256": self._catalog.sha256,
        }

    def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
        """Write one report a case.

        Args:
            cases: What each report has to say.
            seeds: Pair seed of each case, as many as ``cases``.

        Returns:
            Reports in the order of ``cases``.
        """
        return [self._write(case, seed) for case, seed in zip(cases, seeds, strict=True)]

    def phrasings(self, finding: Finding, style: str, section: str = "findings") -> int:
        """Return in how many ways a finding can be said in a sentence.

        Args:
            finding: A finding that the catalogue allows.
            style: Name of a style in the phrase bank, e.g. "terse".
            section: "findings" or "impression".
        """
        return count(self._options(finding, style, section))

    def _write(self, case: Case, seed: int) -> Report:
        draw = stream(seed, "report")
        style = self._bank.pick_style(draw())
        order = self._bank.orders[int(draw() * len(self._bank.orders))]
        abnormal_first = draw() < style.abnormal_first
        findings = [finding for finding in case.findings if finding.concept != NO_FINDING]
        present = self._catalog.closure(finding.concept for finding in findings)
        absent = [name for name in case.absent if name not in present]
        sentences = [self._finding(finding, style, seed) for finding in findings]
        sentences += self._negative(findings, present, absent, style, seed)
        sentences.sort(key=lambda s: (abnormal_first and not s.abnormal, order[s.region], s.tie))
        texts = [sentence(s.text) for s in sentences]
        if draw() < style.opening:
            texts.insert(0, sentence(self._shared("opening", style, stream(seed, "opening"), view=case.view)))
        return Report(section(texts), section(self._impression(findings, absent, style, seed)))

    def _finding(self, finding: Finding, style: Style, seed: int) -> _Sentence:
        draw = stream(seed, finding.concept)
        text = phrase(self._options(finding, style.name, "findings"), draw)
        return _Sentence(text, self._bank.wordings[finding.concept].region, True, draw())

    def _negative(
        self,
        findings: Sequence[Finding],
        present: frozenset[str],
        absent: Sequence[str],
        style: Style,
        seed: int,
    ) -> list[_Sentence]:
        """Return normal statements, and denials of what is absent and not denied by them."""
        sides = {
            side: self._catalog.closure(
                f.concept for f in findings if f.laterality in (side, "bilateral", None)
            )
            for side in ("left", "right")
        }
        chance = style.normal if findings else style.normal_in_normals
        stated, denied = self._normal(present, sides, style, seed, chance)
        left = [name for name in absent if name not in denied]
        if not (findings or stated or left):
            stated, _ = self._normal(present, sides, style, seed, chance=1.0)
        return self._absent(left, stated, style, seed)

    def _normal(
        self,
        present: frozenset[str],
        sides: Mapping[str, frozenset[str]],
        style: Style,
        seed: int,
        chance: float,
    ) -> tuple[list[_Sentence], set[str]]:
        """State that some topics are normal; also return the concepts that this denies on both sides."""
        sentences: list[_Sentence] = []
        denied: set[str] = set()
        for topic, statements in self._bank.normals.items():
            draw = stream(seed, topic)
            fitting = true_statements(statements, present, sides) if draw() < chance else []
            if fitting:
                statement, side = fitting[int(draw() * len(fitting))]
                text = self._shared(statement.slot, style, draw, laterality=side)
                sentences.append(_Sentence(text, statement.region, False, draw(), statement.carries))
                denied.update(() if side else statement.denies)
        return sentences, denied

    def _absent(
        self, names: Sequence[str], stated: Sequence[_Sentence], style: Style, seed: int
    ) -> list[_Sentence]:
        """Deny concepts, in lists where the style likes them; one list may join a normal statement."""
        draw = stream(seed, "absent")
        groups: list[list[str]] = []
        for name in names:
            if groups and draw() < style.long_lists:
                groups[-1].append(name)
            else:
                groups.append([name])
        sentences = list(stated)
        free = draw() < style.attached
        for group in groups:
            regions = {self._bank.wordings[name].region for name in group}
            carrier = next((i for i, s in enumerate(stated) if free and regions <= s.carries), None)
            if carrier is None:
                text = self._denial("denial", group, style, draw)
                sentences.append(_Sentence(text, self._bank.wordings[group[0]].region, False, draw()))
            else:
                text = attach(stated[carrier].text, self._denial("attached", group, style, draw))
                sentences[carrier] = replace(stated[carrier], text=text)
                free = False
        return sentences

    def _denial(self, slot: str, names: Sequence[str], style: Style, draw: Draw) -> str:
        context = {"style": style.name, "number": "one" if len(names) == 1 else "several"}
        nouns = [phrase(self._bank.wordings[name].grammar.compile("absent", context), draw) for name in names]
        last = self._shared("last", style, draw, number="several" if len(names) > 2 else "one")
        listed = f"{attach(', '.join(nouns[:-1]), last)} {nouns[-1]}" if len(nouns) > 1 else nouns[0]
        return self._shared(slot, style, draw, number=context["number"]).replace(LIST, listed)

    def _impression(
        self, findings: Sequence[Finding], absent: Sequence[str], style: Style, seed: int
    ) -> list[str]:
        """Write the impression, the weightiest findings first."""
        draw = stream(seed, "impression")
        lesions = [finding for finding in findings if not self._catalog[finding.concept].is_device]
        texts = []
        if not lesions:
            devices = "present" if findings else None
            texts.append(sentence(self._shared("normal_impression", style, draw, devices=devices)))
        told = self._mentioned(findings, style, seed, at_least_one=bool(lesions))
        definite = len(told) > 1 and all(finding.certainty == "definite" for finding, _ in told[:2])
        joined = draw() < style.joined and definite
        if joined:
            nouns = [phrase(self._options(f, style.name, "impression", "np"), own) for f, own in told[:2]]
            texts.append(sentence(f" {self._shared('joint', style, draw)} ".join(nouns)))
        for finding, own in told[2 * joined :]:
            texts.append(sentence(phrase(self._options(finding, style.name, "impression"), own)))
        if absent and draw() < style.absent_in_impression:
            gravest = sorted(absent, key=lambda name: -self._bank.wordings[name].importance)[:2]
            texts.append(sentence(self._denial("denial", gravest, style, draw)))
        if len(texts) > 1 and draw() < style.numbered:
            texts = [f"{number}. {text}" for number, text in enumerate(texts, 1)]
        return texts

    def _mentioned(
        self, findings: Sequence[Finding], style: Style, seed: int, at_least_one: bool
    ) -> list[tuple[Finding, Draw]]:
        """Return the findings that the impression mentions, the weightiest first, each with its stream."""
        told: list[tuple[Finding, Draw]] = []
        for finding in sorted(findings, key=self._weight, reverse=True):
            own = stream(seed, f"impression {finding.concept}")
            if own() < self._chance(finding, style) or (at_least_one and not told):
                told.append((finding, own))
        return told

    def _weight(self, finding: Finding) -> float:
        """Return how far up in the impression a finding belongs: grave and certain ones first."""
        concept = self._catalog[finding.concept]
        doubt = 1.0 if finding.certainty == "possible" else 0.0
        return self._bank.wordings[concept.name].importance + 2 * concept.level(finding.severity) - doubt

    def _chance(self, finding: Finding, style: Style) -> float:
        """Return how likely a finding is in the impression, beside weightier ones."""
        if self._catalog[finding.concept].is_device:
            return style.device_in_impression
        return self._weight(finding) / 10

    def _options(self, finding: Finding, style: str, section: str, slot: str | None = None) -> list[Phrasing]:
        slot = slot or ("possible_" if finding.certainty == "possible" else "") + section
        key = (finding, style, section, slot)
        options = self._compiled.get(key)
        if options is None:
            options = self._compiled[key] = self._bank.finding(finding, style, section, slot)
        return options

    def _shared(self, slot: str, style: Style, draw: Draw, **features: str | None) -> str:
        context = {"style": style.name, "section": "findings", **features}
        return phrase(self._bank.shared.compile(slot, context), draw)
