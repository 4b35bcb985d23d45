"""Report filter: no remains of a template, a prompt or a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthesis.files import file_sha256
from synthesis.pairs import Pair
from synthesis.strict_yaml import Entry

DEFAULT_PATTERNS = Path(__file__).resolve().parents[2] / "configs" / "reports" / "leakage.yaml"
_WORD = re.compile(r"\w+")


class TemplateLeakage:
    """Refuses a report in which something stands that no radiologist dictates.

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

    def reject(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Return for each pair what leaked into its report, or None."""
        return [self._reason(pair.report.findings + "\n" + pair.report.impression) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"files_sha256": self._hashes, "stretch": self.stretch}

    def _reason(self, text: str) -> str | None:
        for name, pattern in self._patterns.items():
            if match := pattern.search(text):
                return f"template leaked: {name}: {match.group()!r}"
        for words in self._cut(text):
            if words in self._stretches:
                return f"template leaked: from {self._stretches[words]}: {' '.join(words)!r}"
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
