"""How near plans of large runs (`scripts/plan.py`) come to what runs took.

Compared are the plan of the short recipe and the run of it in `results/fit`, and what a small corpus takes on
disk, and the order of a large epoch in memory, here and now.

    python -m benchmarks.plan_check   # seconds

Writes `results/bench/plan.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from datamodules.loading.samplers import EpochSampler
from scripts.command_line.errors import exit_code
from scripts.plan import RESULTS, figures, parsed
from synthesis.cases import BalancedCaseSampler
from synthesis.configuration import shipped
from synthesis.files import write_atomically, write_json
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from synthesis.store import StorePlan, fill_cache


@dataclass(frozen=True)
class Check:
    """A planned figure beside a measured one.

    Attributes:
        what: Of which run.
        unit: Of both.
        planned: What `scripts/plan.py` says.
        measured: What it was.
        note: What the plan leaves out, or where the figure is from.
    """

    what: str
    unit: str
    planned: float
    measured: float
    note: str

    @property
    def ratio(self) -> float:
        """Measured over planned."""
        return self.measured / self.planned


def of_a_run(results: Path) -> list[Check]:
    """Compare steps and time of the short recipe's run.

    Args:
        results: Directory of the measured figures.
    """
    run = json.loads((results / "fit" / "summary.json").read_bytes())["details"]["fit/run"]
    base, recipe = (
        yaml.safe_load(shipped(path).read_text())
        for path in ("configs/pretrain.yaml", "configs/recipes/short.yaml")
    )
    data = recipe["data"]["init_args"]
    pairs, batch = data["train_pairs"], base["data"]["init_args"]["loader"]["batch_size"]
    looks = data["loader"]["epoch_size"] * recipe["trainer"]["max_epochs"]
    workers = data["loader"]["num_workers"]
    asked = [f"--pairs={pairs}", f"--passes={looks / pairs}", f"--cores={workers}", f"--batch-size={batch}"]
    planned = figures(parsed(asked), results)
    assert planned.training_hours is not None
    seconds = 3600 * (planned.making_hours + planned.training_hours)
    commit = run["git_commit"][:7]
    left_out = (
        f"results/fit, commit {commit}, at another hour. The plan leaves out start-up and the evaluations "
        "after epochs; an epoch drops its incomplete last step."
    )
    return [
        Check("short recipe: optimiser steps", "steps", planned.steps, run["optimiser_steps"], left_out),
        Check("short recipe: making and training", "s", seconds, run["seconds"], left_out),
    ]


def of_disk(results: Path, pairs: int, size: int = 128) -> Check:
    """Compare the size of a small corpus with masks.

    Args:
        results: Directory of the measured figures.
        pairs: How many are made.
        size: Height and width of the images, px.
    """
    planned = figures(parsed([f"--pairs={pairs}", f"--size={size}"]), results).disk_bytes
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=size))
    with tempfile.TemporaryDirectory() as folder:
        fill_cache(Path(folder), StorePlan(synthesizer, pairs), progress=False)
        measured = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    note = f"{pairs:,} pairs of {size} px made here, every file of the store."
    return Check("corpus on disk", "MB", planned / 1e6, measured / 1e6, note)


def of_memory(results: Path, pairs: int) -> Check:
    """Compare the peak memory of an epoch's order.

    Args:
        results: Directory of the measured figures.
        pairs: Of the epoch.
    """
    planned = figures(parsed([f"--pairs={pairs}"]), results).order_bytes
    tracemalloc.start()
    next(iter(EpochSampler(pairs, 64, 0)))
    measured = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    note = f"An epoch of {pairs:,} pairs in batches of 64."
    return Check("order of an epoch in memory", "MB", planned / 1e6, measured / 1e6, note)


def markdown(checks: Sequence[Check]) -> str:
    """Lay out the checks as a table."""
    lines = ["# Plans beside runs", "", "| what | planned | measured | measured / planned |"]
    lines.append("|---|---:|---:|---:|")
    notes = list(dict.fromkeys(check.note for check in checks))
    for check in checks:
        cells = [f"{check.planned:,.0f} {check.unit}", f"{check.measured:,.0f} {check.unit}"]
        what = f"{check.what} ({notes.index(check.note) + 1})"
        lines.append(f"| {what} | {cells[0]} | {cells[1]} | {check.ratio:.2f} |")
    return "\n".join([*lines, "", *(f"{k}. {note}" for k, note in enumerate(notes, 1))]) + "\n"


def main(args: Sequence[str] | None = None) -> None:
    """Compare, print and write."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--pairs", type=int, default=1024, help="of the corpus that is made")
    parser.add_argument("--epoch", type=int, default=2_000_000, help="pairs of the epoch whose order is made")
    parser.add_argument("--results", type=Path, default=RESULTS / "bench", help="where to write")
    options = parser.parse_args(args)
    checks = [*of_a_run(RESULTS), of_disk(RESULTS, options.pairs), of_memory(RESULTS, options.epoch)]
    options.results.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = [{**asdict(check), "ratio": check.ratio} for check in checks]
    write_json(options.results / "plan.json", found)
    write_atomically(options.results / "plan.md", markdown(checks))
    print(markdown(checks))


if __name__ == "__main__":
    sys.exit(exit_code(main))
