"""How long the command line takes to answer, beside the import of torch that nobody can do without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.rows import Row, compared, in_turns
from synthesis.configuration import shipped

_COMMANDS = {
    "--help": (["--help"], "≤ 3.5 s"),
    "fit --print_config": (["fit", "-c", str(shipped("configs/pretrain.yaml")), "--print_config"], "≤ 4.5 s"),
}


def rows(quick: bool) -> Iterator[Row]:
    """Yield the seconds of each command, each turn in a fresh process."""
    main = str(shipped("main.py"))
    for name, (words, goal) in list(_COMMANDS.items())[: 1 if quick else None]:
        ours = partial(_done, [sys.executable, main, *words])
        theirs = partial(_done, [sys.executable, "-c", "import torch"])
        costs = in_turns(1 if quick else 5, {"ours": ours, "theirs": theirs})
        row = compared(
            f"start-up, `{name}`", "import torch", "torch", costs, 1, "a second", goal, clock="wall"
        )
        yield _in_seconds(row, costs)


def _done(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, check=True)


def _in_seconds(row: Row, costs: dict[str, list]) -> Row:  # type: ignore[type-arg]
    from dataclasses import replace

    from benchmarks.rows import Spread

    seconds = {name: Spread.of([turn.wall for turn in turns]) for name, turns in costs.items()}
    return replace(row, unit="s", ours=seconds["ours"], theirs=seconds["theirs"])
