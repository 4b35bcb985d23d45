"""Reports by a language model, each checked against its case before it is accepted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from synthesis.cases import Case
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.identity import identity
from synthesis.limits import at_least
from synthesis.reports.grammar.vocabulary import Vocabulary
from synthesis.reports.language_model.chat_model import ChatModel
from synthesis.reports.language_model.outcome import ACCEPTED, Outcome
from synthesis.reports.language_model.prompts import IMPRESSION, Prompts
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.reading.entity_reader import EntityReader
from synthesis.reports.reading.plain_text import plain_text
from synthesis.reports.report import Report
from synthesis.reports.report_writer import ReportWriter
from synthesis.reports.sentences import split_sentences
from synthesis.seeding import generator

_HEADING = re.compile(r"\b(FINDINGS?|IMPRESSIONS?)\s*:", re.IGNORECASE)


@dataclass
class _Part:
    """One text that the model is asked for."""

    task: str
    case: Case
    text: str = ""


@dataclass
class _Draft:
    """A report that is being written."""

    case: Case
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)


class LanguageModelWriter:
    """Has a language model write what a case holds, and accepts only texts that say that and nothing else.

    As in SynCXR (Liu et al., arXiv:2410.13523), FINDINGS are written from the concepts (here with their
    definitions) and checked, then the IMPRESSION is written from the FINDINGS and checked. A rejected text
    is asked for again with another seed. After ``attempts`` the report is dropped, or ``fallback`` writes it.

    Every attempt is counted by reason, in `outcomes` and in the notes of the report, which stay with the
    pair: "findings, attempt 1: missing" and the like. Reasons: those of `EntityCheck`, and "empty"; "cut off"
    (no full stop at the end); "heading" (of a section: the report would be cut there); "forbidden words";
    "unknown words" (`Vocabulary`: a disease outside the catalogue); "off topic" (a sentence that names no
    concept); "repeated" (a sentence stands twice).

    Args:
        model: Answers the prompts: `LocalModel` or `ServedModel`.
        prompts: The prompts file; None takes ``configs/prompts/sentences.yaml``.
        examples: How many of its examples are shown; None shows all.
        attempts: How often a section is asked for, ≥ 1.
        fallback: Writes the reports that the model cannot; None drops them, and the pair gets another case.
        catalog: The concept catalogue; None takes the one shipped.
        reader: Reads the entities back; None takes the rules of `EntityExtractor`.

    Raises:
        ValueError: If ``attempts`` is less than 1.
        YamlError: If the prompts file is malformed.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self,
        model: ChatModel,
        prompts: str | Path | None = None,
        examples: int | None = None,
        attempts: int = 4,
        fallback: ReportWriter | None = None,
        catalog: str | Path | None = None,
        reader: EntityReader | None = None,
    ) -> None:
        if examples is not None:
            at_least(self, 0, examples=examples)
        if attempts < 1:
            raise ValueError(f"attempts={attempts}: a section has to be asked for at least once; give ≥ 1.")
        self.model = model
        self.attempts = attempts
        self.fallback = fallback
        self._catalog = ConceptCatalog.load(catalog)
        self._examples = examples
        self._prompts = Prompts(prompts, self._catalog, examples)
        self._vocabulary = Vocabulary(self._catalog, self._prompts.allowed)
        self._reader = reader or EntityExtractor.load(catalog)
        self._check = EntityCheck(catalog, self._reader)
        self._outcomes: Counter[Outcome] = Counter()
        self._lock = Lock()

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How often each outcome of an attempt occurred in this process since it started."""
        with self._lock:
            return self._outcomes.copy()

    def describe(self) -> dict[str, Any]:
        """Return what the text depends on: model, prompts, attempts, checks and the writer that helps out."""
        return {
            "model": identity(self.model),
            "prompts_version": self._prompts.version,
            "prompts_sha256": self._prompts.sha256,
            "examples": self._examples,
            "attempts": self.attempts,
            "fallback": identity(self.fallback) if self.fallback else None,
            "catalog_sha256": self._catalog.sha256,
            "reader": identity(self._reader),
            "vocabulary_sha256": self._vocabulary.sha256,
        }

    def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
        """Write one report a case.

        Args:
            cases: What each report has to say.
            seeds: Pair seed of each case, as many as ``cases``.

        Returns:
            Reports in the order of ``cases``, with notes; empty ones where nothing passed and there is no
            ``fallback``.
        """
        drafts = [_Draft(case, seed) for case, seed in zip(cases, seeds, strict=True)]
        self._write_section("findings", drafts)
        self._write_section(IMPRESSION, [draft for draft in drafts if "findings" in draft.sections])
        reports = [self._finish(draft) for draft in drafts]
        with self._lock:
            self._outcomes.update(outcome for draft in drafts for outcome in draft.outcomes)
        return reports

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock behind; a copy in another process counts for itself."""
        return {**self.__dict__, "_lock": None, "_outcomes": Counter()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())

    def _write_section(self, section: str, drafts: Sequence[_Draft]) -> None:
        """Ask for a section of each draft until it passes, or there have been enough attempts."""
        parts = {id(draft): self._parts(section, draft) for draft in drafts}
        for attempt in range(1, self.attempts + 1):
            waiting = [draft for draft in drafts if section not in draft.sections]
            faults = self._ask(section, waiting, parts, attempt)
            for draft, reasons in zip(waiting, faults, strict=True):
                if not any(reasons) and all(part.text for part in parts[id(draft)]):
                    text = " ".join(part.text for part in parts[id(draft)])
                    reasons |= self._faults(section, draft, draft.case, text)
                    draft.sections |= {} if reasons else {section: text}
                    parts[id(draft)] = self._parts(section, draft)  # whole, or all to be asked for again
                draft.outcomes += [
                    Outcome(section, attempt, reason) for reason in sorted(reasons) or [ACCEPTED]
                ]

    def _parts(self, section: str, draft: _Draft) -> list[_Part]:
        told = [(IMPRESSION, draft.case)] if section == IMPRESSION else self._prompts.parts(draft.case)
        return [_Part(task, case) for task, case in told]

    def _ask(
        self, section: str, drafts: Sequence[_Draft], parts: dict[int, list[_Part]], attempt: int
    ) -> list[set[str]]:
        """Ask once for every text that is still missing; return for each draft what was wrong."""
        asked = [
            (k, n, part) for k, d in enumerate(drafts) for n, part in enumerate(parts[id(d)]) if not part.text
        ]
        conversations = [
            self._prompts.conversation(part.task, part.case, drafts[k].sections.get("findings", ""))
            for k, _, part in asked
        ]
        seeds = [_seed(drafts[k].seed, f"{section} {n} attempt {attempt}") for k, n, _ in asked]
        faults: list[set[str]] = [set() for _ in drafts]
        answers = self.model.complete(conversations, seeds) if asked else []
        for (k, _, part), answer in zip(asked, answers, strict=True):
            text = plain_text(answer)
            wrong = self._faults(section, drafts[k], part.case, text)
            part.text = "" if wrong else text
            faults[k] |= wrong
        return faults

    def _faults(self, section: str, draft: _Draft, case: Case, text: str) -> set[str]:
        """Return why a text is rejected; an empty set if it is accepted."""
        if not text:
            return {"empty"}
        faults = set() if text.endswith((".", "!", "?")) else {"cut off"}
        if self._prompts.forbidden.search(text):
            faults.add("forbidden words")
        if _HEADING.search(text):
            faults.add("heading")
        if self._vocabulary.unknown(text):
            faults.add("unknown words")
        sentences = split_sentences(text)
        if not all(self._reader.extract(sentence) for sentence in sentences):
            faults.add("off topic")
        if len(set(sentences)) < len(sentences):
            faults.add("repeated")
        findings = draft.sections["findings"] if section == IMPRESSION else text
        report = Report(findings, text if section == IMPRESSION else "")
        faults.update(d.reason for d in self._check.disagreements(case, report))
        if case != draft.case:  # a part must not deny what another one states
            whole = self._check.disagreements(draft.case, report)
            faults.update(d.reason for d in whole if d.reason == "denied")
        if section == IMPRESSION and self._silent(case, text):
            faults.add("missing")
        return faults

    def _silent(self, case: Case, impression: str) -> bool:
        """Return whether an impression states no finding, nor that there is none where there is none."""
        lesions = [f.concept for f in case.findings if not self._catalog[f.concept].is_device]
        devices = [f.concept for f in case.findings if self._catalog[f.concept].is_device]
        stated = {m.concept for m in self._reader.extract(impression) if m.status != "absent"}
        expected = self._catalog.closure(lesions or devices)
        return stated.isdisjoint(expected if lesions else expected | {NO_FINDING})

    def _finish(self, draft: _Draft) -> Report:
        notes = tuple(map(str, draft.outcomes))
        if IMPRESSION in draft.sections:
            return Report(
                draft.sections["findings"],
                draft.sections[IMPRESSION],
                (*notes, "written by the language model"),
            )
        failed = IMPRESSION if "findings" in draft.sections else "findings"
        if self.fallback is None:
            return Report("", "", (*notes, f"dropped: no {failed} in {self.attempts} attempts"))
        report = self.fallback.write([draft.case], [draft.seed])[0]
        name = type(self.fallback).__name__
        why = f"handed to {name}: no {failed} in {self.attempts} attempts"
        return Report(report.findings, report.impression, (*notes, why, *report.notes))


def _seed(pair_seed: int, purpose: str) -> int:
    """Return the seed of one answer."""
    return int(generator(pair_seed, purpose).integers(2**63))
