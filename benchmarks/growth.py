"""How costs grow: with the batch, the image, the report, and the corpus. Curves for `results/bench`.

    python -m benchmarks.growth                       # half an hour on a quiet machine
    python -m benchmarks.growth --panels loss stream  # some; the others stay as they were measured
    python -m benchmarks.growth --quick               # tiny, to see that it works

Writes `results/bench/growth.json`, and the curves as `growth.png` and `growth.pdf`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import streaming
from benchmarks.batch_memory import PART, step
from benchmarks.bench import RESULTS, machine
from benchmarks.cache_speed import read_store
from benchmarks.loss_memory import one_loss
from benchmarks.rows import in_turns
from benchmarks.throughput import pairs_a_second
from benchmarks.timing import threads
from callbacks.drawing.pictures import COLOURS, blank_figure, tidy
from datamodules.batch import ATTENTION_MASK, INPUT_IDS
from lightning_modules import BertEncoder
from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler
from synthesis.files import replaced, write_json
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from synthesis.store import StorePlan, fill_cache

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One curve picture.

    Attributes:
        title: What is measured.
        x: What grows.
        y: What it costs, with its unit.
        lines: Name → points.
    """

    title: str
    x: str
    y: str
    lines: dict[str, Points] = field(default_factory=dict)


def loss(quick: bool) -> list[Panel]:
    """Measure memory and time of InfoNCE and its gradient, beside one matrix of all pairs."""
    dim, sizes = 256, (128, 256) if quick else (1024, 2048, 4096, 8192, 16_384)
    found = {
        name: [(size, one_loss(kind, size, dim)) for size in sizes]
        for name, kind in (("ours, in blocks", "ours"), ("one matrix", "plain"))
    }
    panels = []
    for title, unit, key in (
        ("loss and gradient: memory", "MB", "megabytes"),
        ("loss and gradient: time", "CPU s", "cpu"),
    ):
        lines: dict[str, Points] = {name: [(x, costs[key]) for x, costs in of] for name, of in found.items()}
        panels.append(Panel(title, "pairs in the batch", unit, lines))
    return panels


def batch(quick: bool) -> list[Panel]:
    """Measure the memory of a training step, whole and in parts; what is freed goes back to the system."""
    part, whole, parts = (4, (4, 8), (4, 8)) if quick else (PART, (64, 128, 256), (64, 256, 1024, 2048))

    def megabytes(size: int, at_once: int) -> float:
        return step(size, at_once, part, returned=True)["megabytes"]

    lines: dict[str, Points] = {
        "whole": [(size, megabytes(size, 0)) for size in whole],
        f"{part} encoded at once": [(size, megabytes(size, part)) for size in parts],
    }
    return [Panel("training step: memory", "pairs in the batch", "MB", lines)]


def image(quick: bool) -> list[Panel]:
    """Measure what a simulated pair costs."""
    sizes, pairs, turns = ((64, 96), 2, 1) if quick else ((64, 128, 224, 320, 512), 32, 3)
    found = pairs_a_second(sizes, pairs, turns)
    points = [(float(size), 1000 / speed) for size, speed in found.items()]
    return [Panel("simulated pair", "side of the image, px", "ms of a core", {"ours": points})]


def report(quick: bool) -> list[Panel]:
    """Measure the text tower of the base recipe, forward and backward."""
    texts, lengths = (4, (16, 32)) if quick else (64, (16, 32, 64, 128, 192))
    tower = BertEncoder(vocab_size=4096, max_length=192, width=128, layers=2, heads=2, projection_dim=128)
    points: Points = []
    for length in lengths:
        ids = torch.ones(texts, length, dtype=torch.long)
        work = partial(_learn, tower, {INPUT_IDS: ids, ATTENTION_MASK: torch.ones_like(ids)})
        with threads(1):
            costs = in_turns(1 if quick else 5, {"ours": work})["ours"]
        points.append((length, 1000 * float(np.median([cost.cpu for cost in costs])) / texts))
    return [Panel("text tower: a report", "tokens", "ms of a core", {"ours": points})]


def _learn(tower: BertEncoder, read: Mapping[str, Any]) -> None:
    tower(read).projected.sum().backward()


def cache(quick: bool) -> list[Panel]:
    """Measure reading a cache at random."""
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    points: Points = []
    for pairs in (64, 128) if quick else (1024, 4096, 16_384):
        with tempfile.TemporaryDirectory() as folder, threads(1):
            store = fill_cache(Path(folder), StorePlan(synthesizer, pairs), progress=False)
            work = partial(read_store, store, np.random.default_rng(0))
            costs = in_turns(1 if quick else 5, {"ours": work})["ours"]
        points.append((pairs, pairs / float(np.median([cost.cpu for cost in costs]))))
    return [Panel("reading a cache, shuffled", "pairs in the cache", "pairs a CPU second", {"ours": points})]


def stream(quick: bool) -> list[Panel]:
    """Measure streaming of tars and Parquet files."""
    sizes, file, batch_size = ((64, 128), 32, 16) if quick else ((20_000, 100_000, 500_000), 5000, 256)
    speed: dict[str, Points] = {}
    memory: dict[str, Points] = {}
    for kind in ("tar", "parquet"):
        for pairs in sizes:
            with tempfile.TemporaryDirectory() as folder:
                row = streaming.measure(kind, pairs, file, Path(folder), batch_size)
            speed.setdefault(kind, []).append((pairs, row["samples a CPU second"]))
            memory.setdefault(kind, []).append((pairs, row["MB at most"] - row["MB before"]))
    across = "pairs in the corpus"
    return [
        Panel("streaming: speed", across, "samples a CPU second", speed),
        Panel("streaming: memory beyond the start", across, "MB", memory),
    ]


PANELS: Mapping[str, Callable[[bool], list[Panel]]] = {
    "loss": loss,
    "batch": batch,
    "image": image,
    "report": report,
    "cache": cache,
    "stream": stream,
}
"""Name → what measures its panels."""


def draw(found: Sequence[Mapping[str, Any]], results: Path) -> None:
    """Draw all panels into ``growth.png`` and ``growth.pdf``.

    Args:
        found: `Panel` as mappings, with ``quick``.
        results: Where to.
    """
    heading = "How costs grow" + (" (a trial at tiny sizes: means nothing)" if found[0]["quick"] else "")
    rows = -(-len(found) // 3)
    figure = blank_figure(10.5, 2.9 * rows + 0.4, heading)
    grid = figure.subplots(rows, 3, squeeze=False).flat
    for axes, panel in zip(grid, found, strict=False):
        for (name, points), colour in zip(panel["lines"].items(), COLOURS[1:], strict=False):
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=name, markersize=4)
        axes.set_title(panel["title"], fontsize=9, loc="left")
        axes.set(xscale="log", xlabel=panel["x"], ylabel=panel["y"])
        measured = [point for points in panel["lines"].values() for point in points]
        across = sorted({x for x, _ in measured})
        axes.set_xticks(across, [f"{x:,.0f}" for x in across], fontsize=7)
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=min(0, *(y for _, y in measured)))
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
        tidy(axes)
        if len(panel["lines"]) > 1:
            axes.legend(fontsize=8, frameon=False)
    for axes in list(figure.axes)[len(found) :]:
        axes.axis("off")
    for suffix in ("png", "pdf"):
        dated = {"CreationDate": None} if suffix == "pdf" else None  # the same picture is the same file
        with replaced(results / f"growth.{suffix}") as partial_file:
            figure.savefig(partial_file, format=suffix, dpi=120, metadata=dated)


def run(names: Sequence[str], quick: bool, results: Path) -> None:
    """Measure some panels, and write and draw all that there are after each."""
    path = results / "growth.json"
    there = json.loads(path.read_bytes()) if path.is_file() else []
    results.mkdir(parents=True, exist_ok=True)
    for name in names:
        beside = {"group": name, "quick": quick, "machine": machine()}
        rows = [{**asdict(panel), **beside} for panel in PANELS[name](quick)]
        kept = [row for row in there if row["group"] != name and row["quick"] == quick]
        order = list(PANELS)
        there = sorted([*kept, *rows], key=lambda row: order.index(row["group"]))
        write_json(path, there)
        draw(there, results)
        print(f"{name}: {json.dumps([row['lines'] for row in rows])}", flush=True)


def main(args: Sequence[str] | None = None) -> None:
    """Measure, write and draw."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--panels", nargs="+", choices=PANELS, default=list(PANELS), help="what to measure")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    options = parser.parse_args(args)
    run(options.panels, options.quick, options.results)


if __name__ == "__main__":
    sys.exit(exit_code(main))
