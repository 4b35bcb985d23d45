"""Closed questions about a case, for visual question answering."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
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
        kind: "presence", "side", "severity", "count", "comparison", "view" or "normal".
    """

    text: str
    answer: bool
    kind: str


Asked = tuple[str, ...]
"""What a question is: its kind, and what fills its template."""


class QuestionWriter:
    """Asks closed questions whose answers are known, because the case is.

    About one image (`ask`) the kind is drawn first, equally often among those that the case allows; then
    whether the answer is to be yes, equally often; then what is asked. What the words alone give away then
    depends on how often findings occur, and is measured (`callbacks.QuestionAnswering`). About two images
    (`ask_apart`) what is asked has opposite answers, so that words alone give nothing away (Goyal et al.
    2017, VQA v2, arXiv 1612.00837). As in VQA-RAD's closed questions (Lau et al. 2018,
    doi:10.1038/sdata.2018.251).

    Findings are counted without devices; one on both sides counts for both where sides are compared.

    Args:
        catalog: Catalogue file; None takes the one shipped.
        questions: Templates; None takes ``configs/questions/closed.yaml``.

    Raises:
        YamlError: If the file is malformed.
    """

    def __init__(self, catalog: str | Path | None = None, questions: str | Path | None = None) -> None:
        self.catalog = ConceptCatalog.load(catalog)
        entry, content = Entry.read(DEFAULT_QUESTIONS if questions is None else Path(questions))
        kinds = ("presence", "side", "severity", "normal", "count", "more_sided", "same_side")
        self._templates = {kind: entry.texts(kind, least=1) for kind in kinds}
        views = entry.entry("view")
        self._view_templates = {view: views.texts(view, least=1) for view in VIEWS}
        views.close()
        entry.close()
        self.sha256 = hashlib.sha256(content).hexdigest()

    def answers(self, case: Case) -> dict[Asked, bool]:
        """Return all that can be asked about a case, and whether the answer is yes.

        Args:
            case: What an image shows.
        """
        present = case.concepts(self.catalog)
        found: dict[Asked, bool] = {("view", view): view == case.view for view in VIEWS}
        found["normal",] = NO_FINDING in present
        found |= {("presence", name): name in present for name in self.catalog.names if name != NO_FINDING}
        sided = [f for f in case.findings if f.laterality in _SIDES]
        for finding in sided:
            found |= {("side", finding.concept, side): side == finding.laterality for side in _SIDES}
        for finding in case.findings:
            grades = self.catalog[finding.concept].severities
            if len(grades) > 1 and finding.severity:
                found |= {("severity", finding.concept, grade): grade == finding.severity for grade in grades}
        return found | self._counts(case) | _same_sides(sided)

    def _counts(self, case: Case) -> dict[Asked, bool]:
        """Return what can be asked of how many findings there are, and where there are more."""
        findings = [f for f in case.findings if not self.catalog[f.concept].is_device]
        found: dict[Asked, bool] = {("count", number): len(findings) >= n for n, number in _NUMBERS.items()}
        many = {side: sum(f.laterality in (side, "bilateral") for f in findings) for side in _SIDES}
        for side, other in (_SIDES, _SIDES[::-1]):
            found["more_sided", side, other] = many[side] > many[other]
        return found

    def ask(self, case: Case, rng: np.random.Generator) -> Question:
        """Return a question about a case.

        Args:
            case: What the image shows.
            rng: The random numbers of this sample in this epoch.
        """
        answers = self.answers(case)
        kinds = _by_kind(answers)
        of_kind = kinds[_one(sorted(kinds), rng)]
        wanted = bool(rng.integers(2))
        options = [asked for asked in of_kind if answers[asked] == wanted] or of_kind
        return self._question(_one(options, rng), answers, rng)

    def ask_apart(self, case: Case, other: Case, rng: np.random.Generator) -> Question | None:
        """Return a question about a case whose answer about another case is the opposite.

        With the same random numbers the question is the same about either.

        Args:
            case: What the image shows.
            other: What the other image shows.
            rng: The random numbers of this sample in this epoch.

        Returns:
            The question; None if all that can be asked of both has the same answer.
        """
        answers, others = self.answers(case), self.answers(other)
        kinds = _by_kind({asked: yes for asked, yes in answers.items() if others.get(asked, yes) != yes})
        if not kinds:
            return None
        return self._question(
            _one(sorted(_one([kinds[kind] for kind in sorted(kinds)], rng)), rng), answers, rng
        )

    def _question(self, asked: Asked, answers: Mapping[Asked, bool], rng: np.random.Generator) -> Question:
        kind, *about = asked
        names = [self.catalog[word].preferred_name if word in self.catalog.names else word for word in about]
        templates = self._view_templates[about[0]] if kind == "view" else self._templates[kind]
        filled = dict(zip(_FIELDS.get(kind, ()), names, strict=True))
        return Question(_one(templates, rng).format(**filled), answers[asked], _KINDS.get(kind, kind))


_NUMBERS = {2: "two", 3: "three", 4: "four"}
_FIELDS = {
    "view": ("view",),
    "presence": ("concept",),
    "side": ("concept", "side"),
    "severity": ("concept", "severity"),
    "count": ("number",),
    "more_sided": ("side", "other"),
    "same_side": ("concept", "other"),
}
"""What fills the templates of a kind, in the order of `Asked`."""

_KINDS = {"more_sided": "comparison", "same_side": "comparison"}


def _same_sides(sided: list[Finding]) -> dict[Asked, bool]:
    ordered = sorted(sided, key=lambda finding: finding.concept)
    return {
        ("same_side", one.concept, other.concept): one.laterality == other.laterality
        for one, other in combinations(ordered, 2)
    }


def _by_kind(answers: Mapping[Asked, bool]) -> dict[str, list[Asked]]:
    kinds: dict[str, list[Asked]] = {}
    for asked in answers:
        kinds.setdefault(_KINDS.get(asked[0], asked[0]), []).append(asked)
    return kinds


def _one(options: Sequence[_T], rng: np.random.Generator) -> _T:
    return options[int(rng.integers(len(options)))]
