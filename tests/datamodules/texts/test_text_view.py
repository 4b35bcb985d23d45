from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from datamodules.texts.text_view import TextView, full_text
from synthesis.reports.report import Report

REPORT = Report("The heart is large. The lungs are clear. No effusion.", "Cardiomegaly.")


def test_text_views_occur_as_often_as_stated() -> None:
    view = TextView(whole=0.4, findings=0.3, impression=0.2, sentences=0.1, most_sentences=2)
    texts = Counter(view(REPORT, np.random.default_rng(seed)) for seed in range(2000))
    assert abs(texts[REPORT.text] - 800) < 100
    assert abs(texts[REPORT.findings] - 600) < 100
    assert 350 < texts[REPORT.impression] < 550, "a single sentence may be the impression too"
    assert "The lungs are clear." in texts and "The heart is large. No effusion." in texts


def test_sentences_keep_their_order_and_number() -> None:
    view = TextView(0, 0, 0, 1, most_sentences=3)
    sentences = list(REPORT.sentences())
    for seed in range(200):
        text = view(REPORT, np.random.default_rng(seed))
        chosen = [s for s in sentences if s in text]
        assert text == " ".join(chosen) and 1 <= len(chosen) <= 3
        assert view(REPORT, np.random.default_rng(seed)) == text


@pytest.mark.parametrize(
    "view", [TextView(0, 1, 0, 0), TextView(0, 0, 1, 0), TextView(0, 0, 0, 1), TextView()]
)
@pytest.mark.parametrize(
    "report", [Report("", "Normal chest."), Report("Normal chest.", ""), Report("x", " ")]
)
def test_no_view_of_a_report_is_empty(view: TextView, report: Report) -> None:
    for seed in range(50):
        assert view(report, np.random.default_rng(seed)).strip()


def test_headings_stand_only_over_sections_that_are_there() -> None:
    assert full_text(REPORT) == REPORT.text
    assert full_text(Report("Clear.", " ")) == "FINDINGS: Clear."
    assert full_text(Report("", "Clear.")) == "IMPRESSION: Clear."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 0, 0), "at least one of them > 0"),
        ((-1, 1, 1, 1), "must be ≥ 0"),
        ((1, 1, 1, 1, 0), "most_sentences=0"),
    ],
)
def test_impossible_views_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextView(*arguments)  # type: ignore[arg-type]
