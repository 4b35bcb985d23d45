"""Filters of reports: what they say of the case, their length, and remains of templates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.configuration import shipped
from synthesis.files import file_sha256
from synthesis.identity import identity
from synthesis.pairs import Pair, Rejection
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.reading.entity_reader import EntityReader
from synthesis.reports.report import Report
from synthesis.strict_yaml import Entry

DEFAULT_PATTERNS = shipped("configs/reports/leakage.yaml")
_WORD = re.compile(r"\w+")


class EntityAgreement:
    """Rejects a report whose entities are not those of its case (SynCXR, Liu et al., arXiv:2410.13523).

    It also notices another case's report beside an image, where the case is known: in made pairs, not in a
    user's own (for those there is `ImageReportAgreement`).

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        reader: Reads the entities: a trained `TokenClassifier`, say; None takes the rules of
            `EntityExtractor`.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, catalog: str | Path | None = None, reader: EntityReader | None = None) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        self._reader: EntityReader = reader or EntityExtractor.load(catalog)
        self._check = EntityCheck(catalog, self._reader)

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair the first disagreement of report and case, or None."""
        return [self._reason(pair) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"catalog_sha256": self._catalog.sha256, "reader": identity(self._reader)}

    def _reason(self, pair: Pair) -> Rejection | None:
        for found in self._check.disagreements(pair.case, pair.report):
            detail = f"{found.reason} {found.concept}: {found.detail}"
            return Rejection("report disagrees with case", detail)
        return None


class ReportLength:
    """Rejects a report with too few or too many words.

    Args:
        least: Fewest words of both sections together.
        most: Most words of both sections together.
        sections: Whether neither section may be empty.
        ends: Whether each section that is there has to end with a mark (. ! ? or a closing bracket or quote):
            a text that was cut off does not.

    Raises:
        ValueError: If no length is allowed.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, least: int = 5, most: int = 400, sections: bool = False, ends: bool = True) -> None:
        if not 0 <= least <= most:
            raise ValueError(f"least={least}, most={most}: no report has such a length; give least ≤ most.")
        self.least = least
        self.most = most
        self.sections = sections
        self.ends = ends

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair what is wrong with the length of its report, or None."""
        return [self._reason(pair.report) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"least": self.least, "most": self.most, "sections": self.sections, "ends": self.ends}

    def _reason(self, report: Report) -> Rejection | None:
        sections = {"FINDINGS": report.findings.strip(), "IMPRESSION": report.impression.strip()}
        words = sum(len(text.split()) for text in sections.values())
        if not words:
            return Rejection("empty report")
        if words < self.least:
            return Rejection("short report", f"{words} words, fewer than {self.least}")
        if words > self.most:
            return Rejection("long report", f"{words} words, more than {self.most}")
        for name, text in sections.items():
            if self.sections and not text:
                return Rejection("empty section", f"no {name}")
            if self.ends and text and text[-1] not in ".!?)\"'”’":
                return Rejection("report cut off", f"{name} ends with {text[-20:]!r}")
        return None


class TemplateLeakage:
    """Rejects a report with text that no radiologist dictates.

    Placeholders ("[insert side]", "{finding}"), de-identification marks ("___": with them generators give
    back what they memorised, arXiv:2502.07516), a chat model's talk, and whole stretches of a prompt.

    Args:
        patterns: YAML file: ``patterns`` is a mapping of name → regular expression, read without regard to
            case; None takes ``configs/reports/leakage.yaml``.
        templates: Files (prompts, few-shot examples) of which no stretch may stand in a report.
        stretch: From how many words on a stretch of a template counts, ≥ 2.

    Raises:
        YamlError: If the file of patterns is malformed.
        ValueError: If ``stretch`` is too small, or a template is missing.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self, patterns: str | Path | None = None, templates: Sequence[str | Path] = (), stretch: int = 8
    ) -> None:
        if stretch < 2:
            raise ValueError(f"stretch={stretch}: single words stand in every report; give 2 or more.")
        path = DEFAULT_PATTERNS if patterns is None else Path(patterns)
        self._patterns = _read(path)
        self.stretch = stretch
        self._hashes = [file_sha256(path)]
        self._stretches: dict[tuple[str, ...], str] = {}
        for template in map(Path, templates):
            if not template.is_file():
                raise ValueError(f"templates: {template} is no file; give the path of a prompt.")
            self._hashes.append(file_sha256(template))
            for words in self._cut(template.read_text("utf-8")):
                self._stretches.setdefault(words, template.name)

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair what leaked into its report, or None."""
        return [self._reason(pair.report.findings + "\n" + pair.report.impression) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"files_sha256": self._hashes, "stretch": self.stretch}

    def _reason(self, text: str) -> Rejection | None:
        for name, pattern in self._patterns.items():
            if match := pattern.search(text):
                return Rejection("template leaked", f"{name}: {match.group()!r}")
        for words in self._cut(text):
            if words in self._stretches:
                return Rejection("template leaked", f"from {self._stretches[words]}: {' '.join(words)!r}")
        return None

    def _cut(self, text: str) -> list[tuple[str, ...]]:
        words = _WORD.findall(text.lower())
        return [tuple(words[i : i + self.stretch]) for i in range(len(words) - self.stretch + 1)]


def _read(path: Path) -> dict[str, re.Pattern[str]]:
    entry, _ = Entry.read(path)
    patterns: dict[str, re.Pattern[str]] = {}
    listed = entry.entry("patterns")
    for name in listed.keys():
        text = listed.text(name)
        try:
            patterns[name] = re.compile(text, re.IGNORECASE)
        except re.error as error:
            raise listed.error(name, text, f"is not a regular expression ({error}); correct it.") from error
    entry.close()
    return patterns
