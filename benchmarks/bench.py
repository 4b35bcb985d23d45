"""One table of how fast we are beside our peers: every row measured here, in turns, within one run.

Absolute speeds belong to one machine in one hour; the ratios carry over. A peer that is not installed is
called so (`pip install 'synvlp[bench]'` brings them).

    python -m benchmarks.bench                     # all rows: a quarter of an hour on a quiet machine
    python -m benchmarks.bench --rows cache loss   # some; the others stay as they were measured
    python -m benchmarks.bench --quick             # seconds a row: tiny, to see that it works

Writes `results/bench/bench.json` after each group of rows, and `bench.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Row, Spread
from benchmarks.timing import best_in_turns
from scripts.command_line.errors import exit_code
from synthesis.configuration import shipped
from synthesis.files import write_atomically, write_json

RESULTS = shipped("results/bench")
GROUPS = {
    "step": "benchmarks.step_speed",
    "epoch": "benchmarks.epoch_rows",
    "cache": "benchmarks.cache_speed",
    "loss": "benchmarks.loss_memory",
    "start": "benchmarks.start_up",
    "simulator": "benchmarks.simulator_rows",
    "batch": "benchmarks.batch_memory",
    "probe": "benchmarks.probe_speed",
    "sampling": "benchmarks.sampling_speed",
}
"""Group of rows → the module whose ``rows(quick)`` yields them."""

_COLUMNS = ("what", "peer", "version", "ours", "theirs", "ratio", "goal", "by")


def matrix_product_rate(quick: bool) -> dict[str, float]:
    """Return GFLOP/s of square matrix products on all threads: what this machine gives at this hour."""
    side, rates = 256 if quick else 2048, {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(2, side, side, dtype=dtype)
        seconds = best_in_turns(1 if quick else 5, {name: lambda a=a, b=b: a @ b})[name]  # type: ignore[misc]
        rates[name] = 2 * side**3 / seconds / 1e9
    return rates


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def measured(group: str, quick: bool) -> list[dict[str, Any]]:
    """Measure a group of rows, with the machine, its rate before and after, and the load beside each."""
    before, load = matrix_product_rate(quick), os.getloadavg()[0]
    module = import_module(GROUPS[group])
    found: Iterator[Row] = module.rows(quick)
    rows = [asdict(row) for row in found]
    after = matrix_product_rate(quick)
    rates = {name: statistics.mean((before[name], after[name])) for name in before}
    beside = {"group": group, "quick": quick, "machine": machine(), "gflops": rates, "load": load}
    return [{**row, **beside} for row in rows]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the rows as one table in Markdown."""
    lines = ["# Speed and size beside peers", ""]
    if any(row["quick"] for row in rows):
        lines += ["**A trial at tiny sizes (`--quick`): the figures mean nothing.**", ""]
    lines += [
        "Median [least, most] of turns in ABBA order within one run. *ratio*: how many times better ours is, "
        "turn by turn. *GFLOP/s*: float32 / bfloat16 matrix products just before and after the row.",
        "",
        "| " + " | ".join((*_COLUMNS, "wall ratio", "machine", "GFLOP/s")) + " |",
        "|" + " --- |" * (len(_COLUMNS) + 3),
    ]
    notes: list[str] = []
    for row in rows:
        ours, theirs, ratio, wall = (_spread(row[name]) for name in ("ours", "theirs", "ratio", "wall"))
        rates, there = row["gflops"], row["machine"]
        box = f"{there['cpus']} × {there['processor']}, {there['threads']} threads"
        if row["note"] not in (*notes, ""):
            notes.append(row["note"])
        cells = [
            row["what"] + (f" ({notes.index(row['note']) + 1})" if row["note"] else ""),
            row["peer"],
            row["version"],
            f"{ours} {row['unit']}",
            theirs,
            ratio,
            row["goal"],
            row["clock"],
            wall,
            box,
            f"{rates['float32']:.0f} / {rates['bfloat16']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{k}. {note}" for k, note in enumerate(notes, 1))]).rstrip() + "\n"


def _spread(values: Mapping[str, float] | None) -> str:
    return "–" if values is None else str(Spread(**values))


def _processor() -> str:
    """Return the name of the processor as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def run(groups: Sequence[str], quick: bool, results: Path, say: Callable[[str], None] = print) -> str:
    """Measure groups of rows, write the table after each and return it.

    Rows of other groups that were measured before stay; so a run that was stopped goes on with ``--rows``.
    """
    path = results / "bench.json"
    there = json.loads(path.read_bytes()) if path.is_file() else []
    text = ""
    for group in groups:
        start = time.perf_counter()
        rows = measured(group, quick)
        say(f"{group}: {len(rows)} rows in {time.perf_counter() - start:.0f} s")
        kept = [row for row in there if row["group"] != group and row["quick"] == quick]
        order = list(GROUPS)
        there = sorted([*kept, *rows], key=lambda row: order.index(row["group"]))
        results.mkdir(parents=True, exist_ok=True)
        write_json(path, there)
        text = markdown(there)
        write_atomically(results / "bench.md", text)
    return text


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(
        description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=GROUPS, default=list(GROUPS), help="groups of rows")
    parser.add_argument(
        "--quick", action="store_true", help="the smallest of everything, to see that it works"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    return parser.parse_args(args)


def main() -> None:
    """Measure and print the table."""
    options = parsed()
    print(run(options.rows, options.quick, options.results))


if __name__ == "__main__":
    sys.exit(exit_code(main))
