"""Plain lines where there is no terminal."""

from __future__ import annotations

import re
import time

import pytest

from synthesis import progress
from synthesis.progress import Lines, Progress, duration, track


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)


def test_work_that_says_nothing_is_reported_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("fitting the probe", None):
        time.sleep(0.3)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) >= 2 and all(line.startswith("fitting the probe: ") for line in lines)
    assert "so far" in lines[0]


def test_lines_say_what_is_done_the_rate_and_the_time_left(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(8), "reading images"):
        time.sleep(0.06)
    lines = capfd.readouterr().out.splitlines()
    assert any(re.fullmatch(r"reading images: \d of 8, [\d.]+/s, \d+ s left", line) for line in lines), lines
    assert not re.search(r"\x1b|━", "".join(lines)), "no bar in a log"


def test_nothing_is_written_once_the_work_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"), Progress("x", 3):
        raise ValueError("stop")
    capfd.readouterr()
    time.sleep(0.15)
    assert capfd.readouterr().out == ""


def test_silence_can_be_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("x", 3, shown=False) as bar:
        bar.advance()
        time.sleep(0.15)
    assert capfd.readouterr().out == ""


def test_a_line() -> None:
    lines = Lines("making train pairs", 600, "pairs")
    lines.done, lines.since = 150, time.monotonic() - 10
    assert lines.line() == "making train pairs: 150 of 600 pairs, 15 pairs/s, 30 s left"


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (840, "14 min"), (7500, "2 h 5 min")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
