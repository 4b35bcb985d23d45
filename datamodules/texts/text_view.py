"""Which text of a report a training step reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthesis.reports.report import Report


@dataclass(frozen=True)
class TextView:
    """Which part of a report a training step reads, so that short texts (prompts) are no strangers later.

    Attributes:
        whole: Relative frequency of the whole report with its headings.
        findings: … of the FINDINGS section alone.
        impression: … of the IMPRESSION section alone.
        sentences: … of a few sentences in their order.
        most_sentences: How many sentences at most, ≥ 1; the number is uniform from 1.
        claims: Whether the batch also holds what each text asserts and denies. Views but the first.
    """

    whole: float = 0.4
    findings: float = 0.2
    impression: float = 0.2
    sentences: float = 0.2
    most_sentences: int = 3
    claims: bool = False

    def __post_init__(self) -> None:
        """Refuse frequencies from which nothing can be drawn."""
        weights = (self.whole, self.findings, self.impression, self.sentences)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"{self}: the four frequencies must be ≥ 0 and at least one of them > 0.")
        if self.most_sentences < 1:
            raise ValueError(f"most_sentences={self.most_sentences}: give 1 or more.")

    def __call__(self, report: Report, rng: np.random.Generator) -> str:
        """Return the text that is read this time; the whole report where the chosen part is empty.

        Args:
            report: The report of a sample.
            rng: The random numbers of this sample in this epoch.
        """
        weights = np.cumsum([self.whole, self.findings, self.impression, self.sentences])
        choice = int(np.searchsorted(weights, rng.uniform(0, weights[-1]), side="right"))
        sections = (full_text(report), report.findings, report.impression)
        text = sections[choice] if choice < len(sections) else self._few_sentences(report, rng)
        return text.strip() or sections[0]

    def _few_sentences(self, report: Report, rng: np.random.Generator) -> str:
        sentences = report.sentences()
        count = min(int(rng.integers(1, self.most_sentences + 1)), len(sentences))
        chosen = sorted(rng.choice(len(sentences), count, replace=False)) if count else []
        return " ".join(sentences[i] for i in chosen)


def full_text(report: Report) -> str:
    """Return a report with the headings of the sections that it has (real ones may lack one)."""
    return report.text
