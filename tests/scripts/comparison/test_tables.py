"""Tables for three kinds of readers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts.comparison.tables import write_table


def test_one_table_in_three_forms(tmp_path: Path) -> None:
    rows = [
        {"arm": "long_tailed", "R@10 image→report": "0.151 ± 0.004"},
        {"arm": "a|b", "R@10 image→report": 0.25},
    ]
    markdown = write_table(rows, tmp_path / "deep" / "table", "two seeds, 95 %")
    lines = markdown.splitlines()
    assert lines[0] == "| arm | R@10 image→report |"
    assert lines[2] == "| long_tailed | 0.151 ± 0.004 |"
    assert lines[3] == r"| a\|b | 0.250 |"
    assert lines[-1] == "two seeds, 95 %"
    assert (tmp_path / "deep" / "table.md").read_text() == markdown
    with (tmp_path / "deep" / "table.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[1] == {"arm": "a|b", "R@10 image→report": "0.25"}
    latex = (tmp_path / "deep" / "table.tex").read_text()
    assert r"long\_tailed & 0.151 $\pm$ 0.004 \\" in latex
    assert latex.startswith("% two seeds")


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing has finished"):
        write_table([], tmp_path / "table", "")
    with pytest.raises(ValueError, match=r"row 1 .*columns"):
        write_table([{"a": 1.0}, {"b": 1.0}], tmp_path / "table", "")
