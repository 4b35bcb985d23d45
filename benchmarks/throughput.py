"""How fast pairs are made and a model learns on this machine's CPU, measured in one run so that ratios hold.

Absolute speeds belong to one machine in one hour. What carries over are the ratios: the share of the
matrix-product rate that training reaches, how many cores making pairs keep one training process busy, and
what an epoch on the fly costs over one from a cache. What is compared takes turns, and the best turn counts.

    python -m benchmarks.throughput           # minutes, on a machine with nothing else to do
    python -m benchmarks.throughput --quick   # seconds: a tiny model, to see that it works

Writes `results/bench/throughput.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.epoch_speed import fly_against_cache
from benchmarks.timing import Measured, best_in_turns, threads
from benchmarks.training_speed import configured, training_rate
from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler
from synthesis.configuration import shipped
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

TINY, RESULTS = shipped("configs/recipes/smoke.yaml"), shipped("results/bench")


def pairs_a_second(sizes: Sequence[int], pairs: int, repeats: int) -> Measured:
    """Make whole pairs (image, masks, report) on one core.

    Args:
        sizes: Height and width of the images in pixels.
        pairs: Pairs a turn.
        repeats: Timed turns of each size.

    Returns:
        Pairs a second, by size.
    """

    def making(size: int) -> Callable[[], object]:
        synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=size))
        return lambda: synthesizer.make(range(pairs), 0, "train")

    with threads(1):
        seconds = best_in_turns(repeats, {str(size): making(size) for size in sizes})
    return {size: pairs / value for size, value in seconds.items()}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything.

    Args:
        args: The command line, see `parsed`.
    """
    pairs = args.batch_size * args.batches
    recipe = ["-c", str(TINY)] if args.quick else []
    recipe += [
        f"--data.init_args.{name}={value}"
        for name, value in {
            "train_pairs": 4 * pairs,  # so many that no timed epoch meets pairs of an earlier one (echo)
            "loader.epoch_size": pairs,
            "val_pairs": 1,
            "test_pairs": 1,
            "loader.batch_size": args.batch_size,
            "loader.num_workers": 1,
        }.items()
    ]
    with tempfile.TemporaryDirectory() as directory:
        recipe.append(f"--data.init_args.artifacts_dir={directory}/artifacts")
        made = pairs_a_second(args.sizes, args.pairs, args.repeats)
        built = configured(*recipe, "--data.init_args.loader.num_workers=0")
        built.data.prepare_data()
        built.data.setup("fit")
        batch = next(iter(built.data.train_dataloader()))
        training = training_rate(built.model, batch, args.repeats, args.side)
        epoch = fly_against_cache(recipe, Path(directory, "cache"), args.rounds, args.epochs)
    smallest = made[str(args.sizes[0])]
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
        },
        "quick": args.quick,
        "batch_size": args.batch_size,
        "pairs_per_second": made,
        "cost_of_a_pair": {size: smallest / speed for size, speed in made.items()},
        "training": training,
        "cores_to_feed_training": {
            size: training["samples_per_second"] / speed for size, speed in made.items()
        },
        "epoch": epoch | {"pairs": pairs},
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Lay out what `measure` found as two tables in Markdown."""
    machine, training, epoch = found["machine"], found["training"], found["epoch"]
    lines = ["# Throughput", ""]
    if found["quick"]:
        lines += ["**A trial with a tiny model (`--quick`): the figures mean nothing.**", ""]
    lines += [
        f"{machine['cpus']} CPUs ({machine['instructions']}), {machine['threads']} threads, torch "
        f"{machine['torch']}. Ratios carry over to other machines, speeds do not.",
        "",
        "| image size | pairs/s, one core | cost of a pair | cores to feed the training below |",
        "|---:|---:|---:|---:|",
    ]
    for size, speed in found["pairs_per_second"].items():
        cost, cores = found["cost_of_a_pair"][size], found["cores_to_feed_training"][size]
        lines.append(f"| {size} | {speed:.1f} | ×{cost:.2f} | {cores:.2f} |")
    batch = found["batch_size"]
    rows = {
        f"training, samples/s (steps of {batch} samples)": f"{training['samples_per_second']:.1f}",
        "training, GFLOP a sample": f"{training['flop_per_sample'] / 1e9:.3f}",
        "float32 matrix product, GFLOP/s": f"{training['matrix_product_flop_per_second'] / 1e9:.1f}",
        "training's share of the matrix-product rate": f"{training['share_of_matrix_product']:.2f}",
        "epoch on the fly, pairs/s (one worker)": f"{epoch['on_the_fly_pairs_per_second']:.1f}",
        "epoch from the cache, pairs/s (one worker)": f"{epoch['cached_pairs_per_second']:.1f}",
        "time of an epoch, on the fly over cached": f"×{epoch['on_the_fly_over_cached']:.2f}",
    }
    lines += ["", "| measure | value |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(lines) + "\n"


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").splitlines()[0]
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=summary, formatter_class=layout)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 160, 224], help="image sizes in pixels")
    parser.add_argument("--pairs", type=int, default=64, help="pairs of a timed turn of making")
    parser.add_argument("--batch-size", type=int, default=128, help="pairs of a training step")
    parser.add_argument("--batches", type=int, default=6, help="batches of an epoch, 2 or more")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs of a turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of on the fly and of cached epochs")
    parser.add_argument("--repeats", type=int, default=5, help="turns of everything else; the best counts")
    parser.add_argument("--side", type=int, default=2048, help="rows and columns of the matrix product")
    parser.add_argument("--quick", action="store_true", help="a tiny model and the smallest of everything")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    found = parser.parse_args(args)
    if found.quick:
        tiny = {
            "pairs": 4,
            "batch_size": 8,
            "batches": 2,
            "epochs": 1,
            "rounds": 1,
            "repeats": 1,
            "side": 256,
        }
        vars(found).update(tiny)
    return found


def main() -> None:
    """Measure, print and write."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for harmless in ("[\\s\\S]*was deprecated in v4", "[\\s\\S]*JsonargparseDeprecation", ".*LeafSpec"):
        warnings.filterwarnings("ignore", message=harmless)  # names that Lightning calls by, too
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
    args = parsed()
    found = measure(args)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "throughput.json").write_text(json.dumps(found, indent=1) + "\n")
    text = markdown(found)
    (args.results / "throughput.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(exit_code(main))
