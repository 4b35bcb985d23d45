"""The table of `make bench`, at sizes where it takes no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import bench, cache_speed, rows
from benchmarks.rows import Cost, Row, Spread


def test_works_take_turns_there_and_back_and_the_first_is_not_timed() -> None:
    order: list[str] = []
    found = rows.in_turns(3, {"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert "".join(order) == "ba" + "ab" + "ba" + "ab"
    assert {name: len(costs) for name, costs in found.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_neighbouring_turns() -> None:
    costs = {"ours": [Cost(1, 2), Cost(2, 4), Cost(4, 4)], "theirs": [Cost(3, 4), Cost(4, 4), Cost(4, 2)]}
    row = rows.compared("reading", "torch", "torch", costs, 8, "pairs/s", "≥ 2 ×")
    assert row.ratio == Spread(2, 1, 3) and row.wall == Spread(1, 0.5, 2)
    assert row.ours == Spread(4, 2, 8) and row.theirs == Spread(2, 2, 8 / 3)
    assert rows.compared("", "", "torch", costs, 8, "", "", clock="wall").ratio == row.wall


def test_a_peer_that_is_not_there_has_no_figures() -> None:
    row = rows.compared("reading", "nobody", "no-such-package", {"ours": [Cost(1, 1)]}, 1, "pairs/s", "–")
    assert (row.version, row.theirs, row.ratio, row.wall) == (rows.NOT_INSTALLED, None, None, None)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Two groups of a row each; how often each was measured."""
    measured = {"first": 0, "second": 0}

    def module(name: str) -> SimpleNamespace:
        def found(quick: bool) -> Iterator[Row]:
            measured[name] += 1
            spread = Spread.of([float(measured[name])])
            yield Row(name, "–", "–", "pairs/s", spread, None, None, "≥ 1", note="Of both.")

        return SimpleNamespace(rows=found)

    monkeypatch.setattr(bench, "GROUPS", {"first": "first", "second": "second"})
    monkeypatch.setattr(bench, "import_module", module)
    return measured


def test_a_run_goes_on_row_by_row_and_keeps_the_others(groups: dict[str, int], tmp_path: Path) -> None:
    bench.run(["second"], True, tmp_path, say=lambda line: None)
    bench.run(["first", "second"], True, tmp_path, say=lambda line: None)
    text = bench.run(["first"], True, tmp_path, say=lambda line: None)
    assert groups == {"first": 2, "second": 2}
    found = json.loads((tmp_path / "bench.json").read_bytes())
    assert [(row["what"], row["ours"]["median"]) for row in found] == [("first", 2), ("second", 2)]
    assert all(row["gflops"]["float32"] > 0 and row["machine"]["processor"] for row in found)
    assert text == (tmp_path / "bench.md").read_text()
    assert "figures mean nothing" in text and text.count("Of both.") == 1


def test_every_group_has_rows() -> None:
    for group, module in bench.GROUPS.items():
        assert callable(bench.import_module(module).rows), group
    assert bench.parsed(["--rows", "cache"]).rows == ["cache"]
    with pytest.raises(SystemExit):
        bench.parsed(["--rows", "nothing"])


def test_a_cache_is_read_beside_its_peers() -> None:
    found = list(cache_speed.rows(quick=True))
    assert [row.what for row in found].count("reading a cache, shuffled") == 2
    assert all(row.ours.median > 0 for row in found)
    assert {row.theirs is not None for row in found if row.peer.startswith("Arrow")} == {True}
