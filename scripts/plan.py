"""What a large run takes: time, memory, disk and money, worked out from figures that were measured here.

    python -m scripts.plan --pairs=10_000_000 --gpus=8 --peak-tflops=989 --share=0.4
    python -m scripts.plan --pairs=200_000 --writer=llm --images=diffusion --cores=64 --core-hour=0.04

Every line says which figure it rests on; `benchmarks/plan_check.py` compares plans with runs, in
`results/bench/plan.md`. What has no measured figure is asked for (the peak of a GPU,
prices), or left out; nothing is guessed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cache_speed import SIZE
from scripts.command_line.errors import exit_code
from synthesis.configuration import shipped

RESULTS = shipped("results")
ORDER_BYTES = 40
"""Peak memory of the order of an epoch, a pair and a rank: what 10,000,000 pairs in batches of 64 took."""

GENERATED = 64
"""Side of the images that the generators of `results/generators` draw, px."""


@dataclass(frozen=True)
class Line:
    """One line of a plan.

    Attributes:
        what: What is spent.
        amount: How much, with its unit.
        rests_on: The measured figure behind it, and where it stands.
    """

    what: str
    amount: str
    rests_on: str


@dataclass(frozen=True)
class Figures:
    """What a plan says, as numbers.

    Attributes:
        making_hours: Of making the pairs on the cores.
        disk_bytes: Of the corpus.
        order_bytes: Of the order of an epoch in memory, on each rank.
        steps: Of the optimiser.
        training_hours: Without evaluations; None where a figure is lacking.
    """

    making_hours: float
    disk_bytes: float
    order_bytes: float
    steps: int
    training_hours: float | None


def plan(args: argparse.Namespace, results: Path = RESULTS) -> list[Line]:
    """Work out a plan.

    Args:
        args: The command line, see `parsed`.
        results: Directory of the measured figures.

    Raises:
        ValueError: If a figure that was asked for is not there.
    """
    found, lines = figures(args, results), []
    for what, seconds, source in (_reports(args, results), _images(args, results)):
        hours = args.pairs * seconds / 3600 / args.cores
        lines.append(Line(f"{what}, on {args.cores} cores", _time(hours), source))
    lines.append(Line("corpus on disk, with masks", _bytes(found.disk_bytes), _disk(args, results)[1]))
    order = f"{ORDER_BYTES} bytes a pair, measured at 10,000,000 (scripts/plan.py)"
    lines.append(Line("memory for the order of an epoch, a rank", _bytes(found.order_bytes), order))
    full = f"{args.batch_size} pairs a step and device, incomplete steps left out"
    lines.append(Line("optimiser steps", f"{found.steps:,}", full))
    passes, training = f"training, {args.passes:g} passes", found.training_hours
    time = "not known" if training is None else _time(training)
    lines.append(Line(passes, time, _training(args, results)[1]))
    if args.core_hour is not None:
        cost = found.making_hours * args.cores * args.core_hour
        lines.append(Line("cost of making", f"{cost:,.2f}", "--core-hour"))
    if args.gpu_hour is not None and args.gpus and training is not None:
        cost = training * args.gpus * args.gpu_hour
        lines.append(Line("cost of training", f"{cost:,.2f}", "--gpu-hour"))
    return lines


def figures(args: argparse.Namespace, results: Path = RESULTS) -> Figures:
    """Work out the figures of a plan.

    Args:
        args: The command line, see `parsed`.
        results: Directory of the measured figures.

    Raises:
        ValueError: If a figure that was asked for is not there.
    """
    a_pair = _reports(args, results)[1] + _images(args, results)[1]
    return Figures(
        making_hours=args.pairs * a_pair / 3600 / args.cores,
        disk_bytes=_disk(args, results)[0],
        order_bytes=ORDER_BYTES * args.pairs,
        steps=int(args.pairs * args.passes) // (args.batch_size * max(1, args.gpus)),
        training_hours=_training(args, results)[0],
    )


def _reports(args: argparse.Namespace, results: Path) -> tuple[str, float, str]:
    if args.writer == "grammar":
        return "reports of the grammar", 0.0, "part of the simulator's pairs below"
    found = json.loads((results / "llm" / "section.json").read_bytes())
    seconds = found["seconds"] * found["threads"] / found["cases"]
    source = f"{seconds:.1f} core seconds a report, {found['writer']['model']['weights']['file']}"
    return "reports of a language model", seconds, f"{source} (results/llm/section.json)"


def _images(args: argparse.Namespace, results: Path) -> tuple[str, float, str]:
    if args.images == "simulator":
        speeds = _throughput(results)["pairs_per_second"]
        if str(args.size) not in speeds:
            raise ValueError(f"--size={args.size}: pairs were measured at {', '.join(speeds)} px; give one.")
        speed, where = speeds[str(args.size)], "results/bench/throughput.json"
    else:
        with (results / "generators" / "summary.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] == "images/s"]
        rates = {row["arm"]: float(row["mean"]) for row in rows}
        speed = rates[args.images] * (GENERATED / args.size) ** 2
        where = f"results/generators/summary.csv at {GENERATED} px, by the number of pixels"
    return f"images of {args.images}", 1 / speed, f"{speed:.3g} a second and core ({where})"


def _disk(args: argparse.Namespace, results: Path) -> tuple[float, str]:
    """Return the bytes of the corpus: pixels, and beside them what a pair takes at the measured size."""
    rows = json.loads((results / "bench" / "bench.json").read_bytes())
    row = next(row for row in rows if row["what"] == SIZE)
    beside = 1000 * (row["ours"]["median"] - row["theirs"]["median"])
    source = f"{args.size}² bytes of pixels and {beside:.0f} beside them (results/bench/bench.json)"
    return args.pairs * (args.size**2 + beside), source


def _training(args: argparse.Namespace, results: Path) -> tuple[float | None, str]:
    """Return hours of training without evaluations, None where a figure is lacking."""
    throughput = _throughput(results)
    found, epoch = throughput["training"], throughput["epoch"]["cached_pairs_per_second"]
    seen = args.pairs * args.passes
    if not args.gpus and not args.gflop:
        told = f"{epoch:.1f} pairs/s of the base recipe from a cache (results/bench/throughput.json)"
        return seen / epoch / 3600, told
    flop = args.gflop * 1e9 if args.gflop else found["flop_per_sample"]
    of = f"{flop / 1e9:.3g} GFLOP a sample"
    if not args.gpus:
        speed = found["training_flop_per_second"]
        return seen * flop / speed / 3600, f"{of}, {speed / 1e9:.0f} GFLOP/s (results/bench/throughput.json)"
    if args.peak_tflops is None or args.share is None:
        return None, f"{of}; no GPU was measured here: give --peak-tflops and --share of your own GPU"
    rate = args.gpus * args.peak_tflops * 1e12 * args.share
    return (
        seen * flop / rate / 3600,
        f"{of}, {args.gpus} × {args.peak_tflops:g} TFLOP/s × {args.share:g} (given)",
    )


def _throughput(results: Path) -> Any:
    return json.loads((results / "bench" / "throughput.json").read_bytes())


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.1f} min" if hours < 2 else f"{hours:,.1f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--pairs", type=_positive, required=True, help="pairs of the corpus")
    parser.add_argument("--passes", type=float, default=1, help="how often training shows each")
    parser.add_argument("--size", type=_positive, default=128, help="height and width of the images, pixels")
    parser.add_argument("--writer", choices=("grammar", "llm"), default="grammar", help="of the reports")
    makers = ("simulator", "variational", "adversarial", "diffusion")
    parser.add_argument("--images", choices=makers, default="simulator", help="what draws them")
    parser.add_argument("--cores", type=_positive, default=8, help="cores that make pairs")
    parser.add_argument("--batch-size", type=_positive, default=64, help="pairs of a step, on each device")
    parser.add_argument("--gpus", type=int, default=0, help="that train; 0 trains on the machine measured")
    parser.add_argument("--gflop", type=float, help="of a training sample; none takes the base recipe's")
    parser.add_argument("--peak-tflops", type=float, help="of one GPU, as its vendor says")
    parser.add_argument(
        "--share", type=float, help="of the peak that training reaches on it, as measured there"
    )
    parser.add_argument("--core-hour", type=float, help="price of a core for an hour")
    parser.add_argument("--gpu-hour", type=float, help="price of a GPU for an hour")
    return parser.parse_args(args)


def _positive(text: str) -> int:
    number = int(text)  # 10_000_000 too
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return number


def main(args: Sequence[str] | None = None) -> None:
    """Print a plan as a table."""
    lines = plan(parsed(args))
    print("\n".join(["| what | amount | rests on |", "| --- | ---: | --- |"]))
    print("\n".join(f"| {line.what} | {line.amount} | {line.rests_on} |" for line in lines))


if __name__ == "__main__":
    sys.exit(exit_code(main))
