"""Closed questions about a case, for visual question answering."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from synthesis.cases import Case, Finding
from synthesis.concepts import NO_FINDING, VIEWS, ConceptCatalog
from synthesis.configuration import shipped
from synthesis.strict_yaml import Entry

DEFAULT_QUESTIONS = shipped("configs/questions/closed.yaml")

_SIDES = ("left", "right")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Question:
    """A question about one image.

    Attributes:
        text: The question.
        answer: Whether the answer is yes.
        kind: "presence", "side", "severity", "view" or "normal".
    """

    text: str
    answer: bool
    kind: str


class QuestionWriter:
    """Asks closed questions whose answers are known, because the case is.

    The kind is drawn first, equally often among those that the case allows; then whether the answer is to be
    yes, equally often; then what is asked. So an answer says little about a question's words, and what the
    words alone give away is measured (`callbacks.QuestionAnswering`). As in VQA-RAD's closed questions (Lau
    et al. 2018, doi:10.1038/sdata.2018.251).

    Args:
        catalog: Catalogue file; None takes the one shipped.
        questions: Templates; None takes ``configs/questions/closed.yaml``.

    Raises:
        YamlError: If the file is malformed.
    """

    def __init__(self, catalog: str | Path | None = None, questions: str | Path | None = None) -> None:
        self.catalog = ConceptCatalog.load(catalog)
        entry, content = Entry.read(DEFAULT_QUESTIONS if questions is None else Path(questions))
        kinds = ("presence", "side", "severity", "normal")
        self._templates = {kind: entry.texts(kind, least=1) for kind in kinds}
        views = entry.entry("view")
        self._view_templates = {view: views.texts(view, least=1) for view in VIEWS}
        views.close()
        entry.close()
        self.sha256 = hashlib.sha256(content).hexdigest()

    def ask(self, case: Case, rng: np.random.Generator) -> Question:
        """Return a question about a case.

        Args:
            case: What the image shows.
            rng: The random numbers of this sample in this epoch.
        """
        sided = [f for f in case.findings if f.laterality in _SIDES]
        graded = [f for f in case.findings if len(self.catalog[f.concept].severities) > 1 and f.severity]
        kinds: dict[str, Callable[[bool], Question]] = {
            "presence": lambda yes: self._presence(case, yes, rng),
            "view": lambda yes: self._view(case, yes, rng),
            "normal": lambda yes: self._normal(case, rng),
        }
        if sided:
            kinds["side"] = lambda yes: self._side(_one(sided, rng), yes, rng)
        if graded:
            kinds["severity"] = lambda yes: self._severity(_one(graded, rng), yes, rng)
        return kinds[_one(list(kinds), rng)](bool(rng.integers(2)))

    def _presence(self, case: Case, yes: bool, rng: np.random.Generator) -> Question:
        present = case.concepts(self.catalog) - {NO_FINDING}
        absent = [name for name in self.catalog.names if name not in present and name != NO_FINDING]
        yes = yes and bool(present)
        concept = _one(sorted(present) if yes else absent, rng)
        name = self.catalog[concept].preferred_name
        return Question(_one(self._templates["presence"], rng).format(concept=name), yes, "presence")

    def _side(self, finding: Finding, yes: bool, rng: np.random.Generator) -> Question:
        side = next(side for side in _SIDES if (side == finding.laterality) == yes)
        name = self.catalog[finding.concept].preferred_name
        return Question(_one(self._templates["side"], rng).format(concept=name, side=side), yes, "side")

    def _severity(self, finding: Finding, yes: bool, rng: np.random.Generator) -> Question:
        grades = [g for g in self.catalog[finding.concept].severities if (g == finding.severity) == yes]
        name, grade = self.catalog[finding.concept].preferred_name, _one(grades, rng)
        text = _one(self._templates["severity"], rng).format(concept=name, severity=grade)
        return Question(text, yes, "severity")

    def _view(self, case: Case, yes: bool, rng: np.random.Generator) -> Question:
        view = next(view for view in VIEWS if (view == case.view) == yes)
        return Question(_one(self._view_templates[view], rng), yes, "view")

    def _normal(self, case: Case, rng: np.random.Generator) -> Question:
        normal = NO_FINDING in case.concepts(self.catalog)
        return Question(_one(self._templates["normal"], rng), normal, "normal")


def _one(options: tuple[_T, ...] | list[_T], rng: np.random.Generator) -> _T:
    return options[int(rng.integers(len(options)))]
