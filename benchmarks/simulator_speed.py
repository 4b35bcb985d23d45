"""How fast simulated pairs are made beside another checkout of this project, and what a pair's parts cost.

Both checkouts run as processes of one thread and take turns in the order ours, theirs, theirs, ours, so that
whatever else keeps the machine busy hits both; each turn makes the same pairs. A ratio is taken between
neighbouring turns, in CPU seconds and in wall seconds, and the median of all is given with the least and the
greatest.

    git worktree add /tmp/before COMMIT
    python -m benchmarks.simulator_speed --against=/tmp/before

Writes `results/bench/simulator.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.timing import threads
from scripts.command_line.errors import exit_code
from synthesis.configuration import shipped

ROOT, RESULTS = Path(__file__).resolve().parents[1], shipped("results/bench")
PARTS = ("case", "report", "drawing", "image", "pair")


class Checkout:
    """A process that makes pairs with the code of a checkout.

    Args:
        path: Its directory.
        size: Height and width of the images in pixels.
    """

    def __init__(self, path: Path, size: int) -> None:
        if not (path / "synthesis").is_dir():
            raise FileNotFoundError(f"{path} is no checkout of this project: it has no folder synthesis")
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "simulator_turns.py"), str(size)],
            cwd=path,
            env=os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __enter__(self) -> Checkout:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def turn(self, part: str, start: int, count: int) -> tuple[float, float]:
        """Return the CPU and wall seconds that a part of making some pairs takes."""
        cpu, wall = map(float, self._asked(f"{part} {start} {count}").split())
        return cpu, wall

    def save(self, path: Path, count: int) -> Mapping[str, Any]:
        """Return images, masks, sizes of masks and reports of the first pairs."""
        self._asked(f"save {path} {count}")
        with np.load(path) as file:
            return dict(file)

    def _asked(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if answer := self._process.stdout.readline():
            return answer.strip()
        raise RuntimeError("a checkout has stopped: its message is above")


def compared(ours: Checkout, theirs: Checkout, turns: int, count: int) -> dict[str, Any]:
    """Make the same pairs by both in turns, and return pairs a second and their ratios.

    Args:
        ours: What is compared.
        theirs: With what.
        turns: How often ours, theirs, theirs, ours are timed.
        count: Pairs a turn.
    """
    found: dict[str, list[float]] = {key: [] for key in ("ours", "theirs", "cpu", "wall")}
    for turn in range(turns):
        start = turn * count
        one, other, again, last = (side.turn("pair", start, count) for side in (ours, theirs, theirs, ours))
        for our, their in ((one, other), (last, again)):
            found["ours"].append(count / our[0])
            found["theirs"].append(count / their[0])
            found["cpu"].append(their[0] / our[0])
            found["wall"].append(their[1] / our[1])
    return {key: spread(values) for key, values in found.items()}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return in what the same pairs of two checkouts differ."""
    apart = np.abs(ours["images"].astype(int) - theirs["images"])
    found: dict[str, Any] = {
        "pairs": len(apart),
        "reports_that_differ": int((ours["reports"] != theirs["reports"]).sum()),
        "greatest_difference_in_grey_levels": int(apart.max()),
        "share_of_pixels_that_differ": float((apart > 0).mean()),
        "share_of_mask_pixels_that_differ": float((ours["masks"] != theirs["masks"]).mean()),
    }
    return found


def costs(ours: Checkout, turns: int, count: int) -> dict[str, Any]:
    """Return CPU milliseconds a pair of each part: case, report, drawing, masks, and all of it."""
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for turn in range(turns):  # parts take turns: they are subtracted from each other
        for part in PARTS:
            seconds[part].append(ours.turn(part, turn * count, count)[0])
    mine = {part: np.array(values) * 1000 / count for part, values in seconds.items()}
    told = {
        "case": mine["case"],
        "report": mine["report"] - mine["case"],
        "image, with what it shows": mine["drawing"] - mine["case"],
        "masks": mine["image"] - mine["drawing"],
        "pair": mine["pair"],
    }
    return {part: spread(values.tolist()) for part, values in told.items()} | {"tokens": tokens(count)}


def tokens(count: int, turns: int = 7) -> dict[str, float]:
    """Return CPU milliseconds a report of tokenizing, which is training's and no part of a pair."""
    from datamodules.texts.text_view import full_text
    from datamodules.texts.tokenizer import encode, train_tokenizer
    from synthesis.cases import BalancedCaseSampler
    from synthesis.reports.grammar import GrammarWriter

    cases = [BalancedCaseSampler().sample(0, "train", i) for i in range(count * (turns + 1))]
    texts = [full_text(report) for report in GrammarWriter().write(cases, range(len(cases)))]
    tokenizer, taken = train_tokenizer(texts, 2048), []
    for turn in range(turns + 1):  # each turn other texts: some are remembered
        start = time.process_time()
        encode(tokenizer, texts[turn * count : (turn + 1) * count], 128)
        taken.append((time.process_time() - start) * 1000 / count)
    return spread(taken[1:])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def measure(against: Path, size: int = 128, turns: int = 12, count: int = 48) -> dict[str, Any]:
    """Compare with another checkout.

    Args:
        against: Its directory.
        size: Height and width of the images in pixels.
        turns: Rounds of ours, theirs, theirs, ours.
        count: Pairs a turn.
    """
    asked = ["git", "-C", str(against), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False)
    with ExitStack() as stack, threads(1):
        ours, theirs = (stack.enter_context(Checkout(path, size)) for path in (ROOT, against))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = [side.save(folder / f"{k}.npz", 2 * count) for k, side in enumerate((ours, theirs))]
        return {
            "machine": {
                "cpus": os.cpu_count(),
                "instructions": torch.backends.cpu.get_cpu_capability(),
                "torch": torch.__version__,
            },
            "against": commit.stdout.strip() or "no commit",
            "image_size": size,
            "pairs_per_second": compared(ours, theirs, turns, count),
            "milliseconds": costs(ours, turns, count),
            "differences": differences(*made),
        }


def row(against: Path, size: int = 128, turns: int = 12, count: int = 48) -> tuple[float, float, float]:
    """Return pairs a CPU second of this checkout and of another, and their ratio: medians of turns."""
    with Checkout(ROOT, size) as ours, Checkout(against, size) as theirs:
        found = compared(ours, theirs, turns, count)
    return found["ours"]["median"], found["theirs"]["median"], found["cpu"]["median"]


def markdown(found: Mapping[str, Any]) -> str:
    """Lay out what `measure` found as tables in Markdown."""
    machine, speed, apart = found["machine"], found["pairs_per_second"], found["differences"]

    def cell(values: Mapping[str, float], digits: int) -> str:
        return f"{values['median']:.{digits}f} [{values['min']:.{digits}f}, {values['max']:.{digits}f}]"

    lines = [
        "# Simulated pairs",
        "",
        f"Images of {found['image_size']} px with masks and reports, on one core of {machine['cpus']} "
        f"({machine['instructions']}, torch {machine['torch']}); median [least, greatest] over turns. Ratios "
        "carry over to other machines, speeds do not.",
        "",
        f"| | pairs/s of CPU time | commit {found['against']} in the same run | ratio, CPU | ratio, wall |",
        "|---|---:|---:|---:|---:|",
        f"| pairs | {cell(speed['ours'], 0)} | {cell(speed['theirs'], 0)} | ×{cell(speed['cpu'], 2)} | "
        f"×{cell(speed['wall'], 2)} |",
        "",
        "| part of a pair | CPU ms |",
        "|---|---:|",
        *(f"| {part} | {cell(values, 2)} |" for part, values in found["milliseconds"].items()),
        "",
        f"Of {apart['pairs']} pairs, {apart['reports_that_differ']} reports differ; images differ in "
        f"{apart['share_of_pixels_that_differ']:.2%} of their pixels, by at most "
        f"{apart['greatest_difference_in_grey_levels']} of 255 grey levels, masks in "
        f"{apart['share_of_mask_pixels_that_differ']:.3%}.",
    ]
    return "\n".join(lines) + "\n"


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").splitlines()[0]
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=summary, formatter_class=layout)
    parser.add_argument("--against", type=Path, required=True, help="directory of the other checkout")
    parser.add_argument("--size", type=int, default=128, help="image size in pixels")
    parser.add_argument("--turns", type=int, default=12, help="rounds of ours, theirs, theirs, ours")
    parser.add_argument("--pairs", type=int, default=48, help="pairs a turn")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    return parser.parse_args(args)


def main() -> None:
    """Measure, print and write."""
    args = parsed()
    found = measure(args.against, args.size, args.turns, args.pairs)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "simulator.json").write_text(json.dumps(found, indent=1) + "\n")
    text = markdown(found)
    (args.results / "simulator.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(exit_code(main))
