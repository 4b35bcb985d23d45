from __future__ import annotations

import pytest

from synthesis.reports.blank import said


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nan",
        "NaN",
        "None",
        "None.",
        "N/A",
        "null",
        "...",
        "___",
        "___ ___.",
        "-",
        "1.",
        "XXXX.",
        "#REF!",
        "<NA>",
        "n.a.",
    ],
)
def test_what_says_nothing_is_empty(text: str) -> None:
    assert said(text) == ""


@pytest.mark.parametrize(
    "text", ["Normal.", "No change.", "___ is normal.", "Clear", "XXXX effusion", "Nil acute"]
)
def test_what_says_something_stays(text: str) -> None:
    assert said(f" {text}\n") == text
