"""The campaigns in short: what they try is survived, and is not when the mechanism is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.campaign import Outcome
from scripts.torture.campaigns.bad_inputs import classed, known_inputs
from scripts.torture.process import Ended
from scripts.torture.record import OUTCOMES, Record

ROOT = Path(__file__).resolve().parents[2]


def torture(out: Path, *args: str) -> tuple[int, dict[str, Any], str]:
    """Run the program in a process of its own, for it forks."""
    command = [sys.executable, "-m", "scripts.torture", f"--work={out / 'work'}", f"--out={out}", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290)
    assert (out / "outcomes.json").exists(), done.stdout + done.stderr
    return done.returncode, json.loads((out / "outcomes.json").read_text()), done.stdout


@pytest.mark.timeout(300)
def test_the_short_campaigns_are_survived(tmp_path: Path) -> None:
    code, found, said = torture(tmp_path, "--short")
    assert code == 0, said
    assert all(campaign["tried"] > 0 for campaign in found["campaigns"])
    assert "survived / tried" in (tmp_path / "table.md").read_text()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_broken_mechanism_is_seen(tmp_path: Path) -> None:
    code, found, said = torture(tmp_path, "hostile", "--short", "--sabotage", "--only=pickle")
    (campaign,) = found["campaigns"]
    assert code == 1 and campaign["survived"] < campaign["tried"] and "code run" in campaign["verdicts"], said


def test_a_record_goes_on_and_belongs_to_its_commit(tmp_path: Path) -> None:
    Record(tmp_path, {"commit": "a"}).add("kills", "fit/0", Outcome("survived"))
    with (tmp_path / OUTCOMES).open("a") as file:
        file.write('{"campaign": "kills", "case": "fit/1", "verd')  # killed while it was writing
    again = Record(tmp_path, {"commit": "a"})
    assert again.has("kills", "fit/0") and not again.has("kills", "fit/1")
    again.add("kills", "fit/1", Outcome("hung"))
    assert Record(tmp_path, {"commit": "a"}).has("kills", "fit/1"), "the line cut short is in nobody's way"
    assert not Record(tmp_path, {"commit": "b"}).has("kills", "fit/0")


@pytest.mark.parametrize(
    ("code", "said", "verdict"),
    [
        (2, "error: --lr: -1 is negative; give 0 or more", "clear"),
        (2, "error: something is wrong; give another one", "vague"),
        (2, "error: --lr: -1 is wrong\n  all options: main.py --help", "vague"),  # a pointer is no remedy
        (
            2,
            "error: --lr: /cases-1/a is negative; give 0 or more",
            "vague",
        ),  # nor a digit of a path the value
        (
            2,
            "--lr=-1 is set\nerror: something is wrong; give another one",
            "vague",
        ),  # nor what came before it
        (1, "error: KeyError: '--lr'\n  at main.py:3, in main", "obscure"),
        (1, "error: ValueError: --lr: -1.0 must be positive\n  at main.py:3, in main", "clear"),
        (2, "\n".join(["--lr: -1: give 0 or more", *["line"] * 9]), "buried"),
        (
            1,
            'Traceback (most recent call last):\n  File "/x/site-packages/torch/a.py", line 1\nKeyError: 3',
            "obscure",
        ),
        (-9, "", "obscure"),
        (0, "trained", "silent"),
        (0, "UserWarning: --lr is -1", "warned"),
    ],
)
def test_answers_are_classed(code: int, said: str, verdict: str) -> None:
    entry = BadInput("cli/lr", lambda own, shared: [], ("--lr", "-1"))
    assert classed(entry, Ended(code, said, 0.0)).verdict == verdict
    if verdict == "silent":
        meant = BadInput("cli/lr", lambda own, shared: [], ("--lr",), "so that it does nothing")
        assert classed(meant, Ended(code, said, 0.0)).verdict == "meant"


def test_every_bad_input_says_what_a_clear_answer_names() -> None:
    entries = list(known_inputs())
    assert len({entry.name for entry in entries}) == len(entries) > 900
    assert not [entry.name for entry in entries if not entry.names and not entry.meant]


def test_a_record_names_no_place_of_this_machine(tmp_path):
    record = Record(tmp_path / "work", {"commit": "a"})
    detail = f"{tmp_path / 'work'}/x, {Path.cwd()}/main.py, {sys.base_prefix}/lib"
    record.add("kills", "fit kill/0", Outcome("survived", detail))
    assert record.outcomes["kills"]["fit kill/0"].detail == "WORK/x, ROOT/main.py, PYTHON/lib"
    assert str(tmp_path) not in (tmp_path / "work" / "outcomes.jsonl").read_text()
