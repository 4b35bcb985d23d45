"""What a language model is asked for a report: read from a versioned YAML file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthesis.cases import Case, Finding
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.configuration import shipped
from synthesis.reports.language_model.chat_model import Message
from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry

DEFAULT_PROMPTS = shipped("configs/prompts/sentences.yaml")

FINDINGS, FINDING, DENIAL, IMPRESSION = "findings", "finding", "denial", "impression"
_FIELDS = ("findings", "absent", "text", "view")


@dataclass(frozen=True)
class Task:
    """One thing that a model is asked.

    Attributes:
        ask: The question, with fields in braces.
        examples: Questions already filled in, each with the answer that is wanted.
    """

    ask: str
    examples: tuple[tuple[str, str], ...]


class Prompts:
    """The prompts of one file, whose comments explain its keys.

    A file with a task ``findings`` has the section written in one go; one with ``finding`` and ``denial`` has
    it written sentence by sentence. Every concept is told with its definition from the catalogue.

    Args:
        path: The YAML file; None takes ``configs/prompts/sentences.yaml``.
        catalog: The concepts and their definitions.
        examples: How many examples of each task are shown; None shows all, 0 none.

    Attributes:
        sha256: Of the file.
        version: Of the file, as it says itself.
        tasks: Task → what is asked.
        forbidden: Words that no report may hold.
        allowed: Texts whose words a report may hold beside those of catalogue and phrase bank.

    Raises:
        YamlError: If the file is malformed or does not fit the catalogue.
    """

    def __init__(self, path: str | Path | None, catalog: ConceptCatalog, examples: int | None = None) -> None:
        root, content = Entry.read(DEFAULT_PROMPTS if path is None else Path(path))
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.version = root.text("version")
        self._catalog = catalog
        self._system = root.text("system")
        self._items = {key: _text(root, key) for key in ("finding_item", "absent_item", "place", "possible")}
        self.forbidden = Words(root.texts("forbidden"), root, "forbidden")
        allowed = root.texts("allowed")
        entry = root.entry("tasks")
        known = (FINDINGS, IMPRESSION) if FINDINGS in entry.keys() else (FINDING, DENIAL, IMPRESSION)
        self.tasks = {name: self._task(entry.entry(name), examples) for name in known}
        entry.close()
        root.close()
        answers = (answer for task in self.tasks.values() for _, answer in task.examples)
        self.allowed = (*allowed, *answers)

    def parts(self, case: Case) -> list[tuple[str, Case]]:
        """Return the questions for the FINDINGS of a case: tasks, each with the findings it is about."""
        if FINDINGS in self.tasks:
            return [(FINDINGS, case)]
        parts = [(FINDING, Case((finding,), (), case.view)) for finding in case.findings]
        parts += [(DENIAL, Case((), (name,), case.view)) for name in case.absent]
        return parts or [(FINDING, replace(case, findings=(), absent=()))]

    def conversation(self, task: str, case: Case, text: str = "") -> list[Message]:
        """Return the turns that ask for one text: rules, examples, and the question.

        Args:
            task: A key of ``tasks``.
            case: What is to be said.
            text: The FINDINGS, where the task is to sum them up.
        """
        asked = self.tasks[task]
        turns = [{"role": "system", "content": self._system}]
        for question, answer in asked.examples:
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [*turns, {"role": "user", "content": self._fill(asked.ask, case, text)}]

    def _task(self, entry: Entry, limit: int | None) -> Task:
        ask = _text(entry, "ask")
        try:
            ask.format(**dict.fromkeys(_FIELDS, ""))
        except (KeyError, IndexError, ValueError) as error:
            raise entry.error("ask", ask, f"has an unknown field ({error}); known: {_FIELDS}.") from error
        examples = []
        for number, content in enumerate(entry.take("examples", []), 1):
            example = Entry(f"{entry.where}, example {number}", content)
            case, text, answer = self._case(example), str(example.take("text", "")), example.text("answer")
            example.close()
            examples.append((self._fill(ask, case, text), answer))
        entry.close()
        return Task(ask, tuple(examples[:limit]))

    def _case(self, entry: Entry) -> Case:
        """Return the case of an example."""
        findings = []
        for content in entry.take("findings", []):
            item = Entry(f"{entry.where}, key findings", content)
            keys = ("laterality", "location", "severity")
            details: dict[str, Any] = {key: item.text(key) for key in keys if key in item.keys()}
            certainty = item.take("certainty", "definite")
            if certainty not in ("definite", "possible"):
                raise item.error("certainty", certainty, "is unknown here; use definite or possible.")
            concept = item.text("concept", self._catalog.names)
            findings.append(Finding(concept, **details, certainty=certainty))
            item.close()
        case = Case(tuple(findings), entry.texts("absent", self._catalog.names))
        wrong = [] if case == Case(()) else case.contradictions(self._catalog)
        # An example need not give a place or a grade; what it gives must exist.
        wrong = [text for text in wrong if "None" not in text]
        if wrong:
            raise entry.error("findings", findings, f"cannot be: {'; '.join(wrong)}; correct the example.")
        return case

    def _fill(self, ask: str, case: Case, text: str) -> str:
        findings = case.findings or (() if case.absent else (Finding(NO_FINDING),))
        values: Mapping[str, str] = {
            "findings": "\n".join(self._item(finding) for finding in findings),
            "absent": "\n".join(self._denied(case.absent)),
            "text": text,
            "view": case.view,
        }
        return ask.format(**values).strip()

    def _item(self, finding: Finding) -> str:
        concept = self._catalog[finding.concept]
        words = [
            self._items["possible"] if finding.certainty == "possible" else "",
            finding.severity or "",
            finding.laterality or "",
            concept.preferred_name,
        ]
        place = self._items["place"].format(location=finding.location) if finding.location else ""
        told = " ".join(word for word in words if word) + (f" {place}" if place else "")
        return self._items["finding_item"].format(words=told, definition=concept.definition)

    def _denied(self, names: Sequence[str]) -> list[str]:
        concepts = [self._catalog[name] for name in names]
        item = self._items["absent_item"]
        return [item.format(name=c.preferred_name, definition=c.definition) for c in concepts]


def _text(entry: Entry, key: str) -> str:
    """Return a text with its line breaks."""
    value = entry.take(key)
    if not isinstance(value, str) or not value.strip():
        raise entry.error(key, value, "is not a text; write one.")
    return value.strip()
