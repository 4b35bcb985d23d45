"""The figures of README and docs are those of files under results/; no edit by hand goes unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scripts.pages.figure_sources import ROOT, FigureSources, as_number
from scripts.pages.figures import LIST, Figure, check, compare, figures, main, sections

LISTED = yaml.safe_load(LIST.read_text())
SOURCES = FigureSources(LISTED["files"])


def wrong_in(page: str, *entries: Any) -> list[str]:
    return compare("docs/a.md", page, {"A": entries} if entries else {}, LISTED["given"], SOURCES)[0]


def test_every_figure_of_the_pages_is_in_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out
    assert check()[1] > 400


@pytest.mark.parametrize("path", LISTED["pages"])
def test_no_figure_of_a_page_can_be_edited_by_hand(path: str) -> None:
    page, entries = (ROOT / path).read_text(), LISTED["pages"][path]
    edited = page
    places = [
        figure
        for title, start, end in sections(page)
        for figure in figures(page, start, end, "integers" in entries.get(title, ()))
        if figure.text not in LISTED["given"]
    ]
    for figure in places:
        last = figure.start + len(figure.digits) - 1
        edited = edited[:last] + str((int(page[last]) + 5) % 10) + edited[last + 1 :]
    wrong, corrected, compared = compare(path, edited, entries, LISTED["given"], SOURCES)
    assert len(wrong) == compared == len(places) > 0
    assert corrected == page


@pytest.mark.parametrize(
    "text",
    [
        "It has 0.912.",
        "It has .912.",
        "1,234 pairs.",
        "84 % caught.",
        "18/24 pass.",
        "| a |\n| - |\n| x | 7 |",
    ],
)
def test_a_figure_that_nobody_measured_is_an_error(text: str) -> None:
    assert wrong_in("# A\n\nNo figures: 2 seeds, 128 px, R@10, RAD-DINO 2, `0.5`.\n") == []
    (error,) = wrong_in(f"# A\n\n{text}\n")
    assert "on the page" in error and "0 in docs/figures.yaml" in error


def test_integers_of_a_text_count_where_the_section_says_so() -> None:
    entries = ("results/llm_demo/card.json | counts | held",)
    assert wrong_in("# A\n\n240 pairs.\n", "integers", *entries) == []
    (error,) = wrong_in("# A\n\n250 pairs.\n", "integers", *entries)
    assert "write 240" in error


def test_an_entry_without_its_figure_or_section_is_an_error() -> None:
    zero_shot = "results/fit/summary.json | val/zero_shot/auroc_macro"
    assert wrong_in("# A\n\nZero-shot 0.793.\n", zero_shot) == []
    (error,) = wrong_in("# A\n\nZero-shot 0.789.\n", zero_shot)
    assert "0.789 on the page" in error and "write 0.793" in error
    (error,) = wrong_in("# A\n\nNothing.\n", zero_shot)
    assert "0 figures on the page" in error
    (error,) = wrong_in("# B\n\nNothing.\n", zero_shot)
    assert "'A' that is not there" in error


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("results/fit/lost.json | a", "no file results/fit/lost.json"),
        (
            "results/fit/summary.json | val/zero_shot/auroc",
            "has no 'val/zero_shot/auroc' there, but train/gradient_norm",
        ),
        ("results/objectives/table.csv | klip | zero-shot AUROC", "but clip, "),
        # Rows of all metrics share the name of their arm: only what they agree on is a figure.
        ("results/objectives/runs.csv | clip | value", "has no 'value' there"),
    ],
)
def test_a_source_that_is_not_there_is_named_with_the_choices(source: str, message: str) -> None:
    with pytest.raises(KeyError, match=message.replace("(", r"\(")):
        SOURCES.numbers(source)


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ValueError, match="no form of files, rows"):
        SOURCES.numbers({"sum": ["a", "b"]})


def test_means_differences_and_factors_are_computed_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"x": 0.5, "y": 0.7, "both": {"x": 0.5, "y": 0.7}, "note": "of 1,200 images"}'
    )
    name = str(tmp_path / "a.json")
    assert SOURCES.numbers({"mean": [f"{name} | {{}}"], "over": ["x", "y"]}) == [pytest.approx(0.6)]
    assert SOURCES.numbers({"mean": [f"{name} | both"]}) == [pytest.approx(0.6)]
    assert SOURCES.numbers({"difference": [f"{name} | y", f"{name} | x"]}) == [pytest.approx(0.2)]
    assert SOURCES.numbers({"times": [f"{name} | x"], "by": 100}) == [50.0]
    assert SOURCES.numbers({"match": f"{name} | note", "pattern": "of ([0-9,]+) images"}) == [1200.0]
    assert SOURCES.numbers({"files": [name], "keys": ["x", "y"]}) == [0.5, 0.7]


@given(
    st.sampled_from(["0.000", ".00", "0.0", "1,000", "12", "97.3 %"]),
    st.floats(-0.999, 0.999) | st.integers(-50_000, 50_000).map(float),
)
def test_a_written_number_is_shown_by_the_page(form: str, value: float) -> None:
    text = Figure(form, 0).written(value)
    written = Figure(text, 0)
    assert written.shows(value) and written.decimals == Figure(form, 0).decimals
    assert not written.shows(value + 1.01 * 10**-written.decimals)
    (found,) = figures(f"| a | {text} |\n", 0, len(text) + 8)
    assert as_number(found.digits) == as_number(written.digits)
