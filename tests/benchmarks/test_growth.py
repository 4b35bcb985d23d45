"""The curves of how costs grow, at sizes where they take little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.growth import Panel


def test_panels_that_are_cheap_to_measure_are_written_and_drawn(tmp_path: Path) -> None:
    growth.main(["--quick", "--panels", "report", "image", f"--results={tmp_path}"])
    found = {row["title"]: row for row in json.loads((tmp_path / "growth.json").read_bytes())}
    assert [x for x, _ in found["simulated pair"]["lines"]["ours"]] == [64, 96]
    assert all(y > 0 for row in found.values() for points in row["lines"].values() for _, y in points)
    assert (tmp_path / "growth.png").stat().st_size > 5000
    assert (tmp_path / "growth.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_not_measured_again_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(9))

    def panel(quick: bool) -> list[Panel]:
        return [Panel("title", "x", "y", {"ours": [(1, next(count))], "other": [(1, 2)]})]

    monkeypatch.setattr(growth, "PANELS", {"one": panel, "two": panel})
    monkeypatch.setattr(growth, "draw", lambda found, results: None)
    growth.run(["two"], True, tmp_path)
    growth.run(["one", "two"], True, tmp_path)
    growth.run(["one"], True, tmp_path)
    found = json.loads((tmp_path / "growth.json").read_bytes())
    assert [(row["group"], row["lines"]["ours"][0][1]) for row in found] == [("one", 3), ("two", 2)]
    growth.run(["one"], False, tmp_path)
    assert [row["quick"] for row in json.loads((tmp_path / "growth.json").read_bytes())] == [False]


@pytest.mark.slow  # processes with torch, and caches
@pytest.mark.parametrize("name", ["loss", "batch", "cache", "stream"])
def test_every_panel_can_be_measured(name: str) -> None:
    for panel in growth.PANELS[name](True):
        assert all(len(points) >= 2 for points in panel.lines.values())
        assert any(y != 0 for points in panel.lines.values() for _, y in points)
