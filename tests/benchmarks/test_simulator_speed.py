"""The comparison of the simulator with another checkout, at a size where it takes a few seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulator_speed, simulator_turns


class InProcess(simulator_speed.Checkout):
    """This checkout, answering without a process of its own."""

    def __init__(self, path: Path, size: int) -> None:
        self.works, self.synthesizer = simulator_turns.parts(size)

    def __exit__(self, *_: object) -> None:
        pass

    def _asked(self, line: str) -> str:
        return simulator_turns.answer(line, self.works, self.synthesizer)


def test_a_checkout_is_as_fast_as_itself_and_makes_the_same_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulator_speed, "Checkout", InProcess)
    given = ["--size=64", "--turns=2", "--pairs=4", f"--results={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["simulator_speed.py", f"--against={simulator_speed.ROOT}", *given])
    simulator_speed.main()
    found = json.loads((tmp_path / "simulator.json").read_text())
    apart = found["differences"]
    assert apart.pop("pairs") == 8 and set(apart.values()) == {0}
    ratio = found["pairs_per_second"]["cpu"]
    assert 0.1 < ratio["min"] <= ratio["median"] <= ratio["max"] < 10
    assert {"case", "report", "masks", "pair", "tokens"} <= found["milliseconds"].keys()
    text = (tmp_path / "simulator.md").read_text()
    assert f"×{ratio['median']:.2f} [" in text and text in capsys.readouterr().out
    ours, theirs, again = simulator_speed.row(simulator_speed.ROOT, size=64, turns=1, count=2)
    assert ours > 0 and theirs > 0 and 0.1 < again < 10


@pytest.mark.slow  # two processes start, each with torch
def test_checkouts_run_in_processes_of_their_own() -> None:
    with simulator_speed.Checkout(simulator_speed.ROOT, 64) as one:
        cpu, wall = one.turn("pair", 0, 2)
        assert 0 < cpu < 60 and 0 < wall < 60
        with pytest.raises(RuntimeError, match="a checkout has stopped"):
            one.turn("nothing", 0, 2)


def test_what_differs_is_counted() -> None:
    image, mask = np.full((2, 1, 2, 2), 7, np.uint8), np.zeros((2, 2, 2), bool)
    other, other_mask = image.copy(), mask.copy()
    other[0, 0, 0, 0], other_mask[1] = 4, True
    found = simulator_speed.differences(
        {"images": image, "masks": mask, "reports": np.array(["a", "b"])},
        {"images": other, "masks": other_mask, "reports": np.array(["a", "c"])},
    )
    assert found["greatest_difference_in_grey_levels"] == 3
    assert found["share_of_pixels_that_differ"] == 1 / 8
    assert found["share_of_mask_pixels_that_differ"] == 1 / 2
    assert found["reports_that_differ"] == 1


def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no checkout of this project"):
        simulator_speed.Checkout(tmp_path, 64)
