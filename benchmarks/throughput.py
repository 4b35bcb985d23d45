"""How fast pairs are made and a model learns on this machine's CPU, measured in one run so that ratios hold.

Absolute speeds belong to one machine in one hour. What carries over are the ratios: the share of the
matrix-product rate that training reaches, how many cores making pairs keep one training process busy, and
what an epoch on the fly costs over one from a cache. What is compared takes turns, and the best turn counts.

    python benchmarks/throughput.py           # minutes, on a machine with nothing else to do
    python benchmarks/throughput.py --quick   # seconds: a tiny model, to see that it works

Writes `results/bench/throughput.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import clip_grad_norm_
from torch.utils.flop_counter import FlopCounterMode

from datamodules import SyntheticPairs
from datamodules.batch import IMAGE
from lightning_modules import DualEncoder
from lightning_modules.objectives import Gather
from lightning_modules.optimization import parameter_groups
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "configs" / "pretrain.yaml"
TINY = ROOT / "configs" / "recipes" / "smoke.yaml"
RESULTS = ROOT / "results" / "bench"

Measured = dict[str, float]


def best_in_turns(repeats: int, works: Mapping[str, Callable[[], object]]) -> Measured:
    """Return the least seconds that each work took.

    Works take turns, so that whatever else keeps the machine busy for a while hits all of them; a round
    before the first is not timed.

    Args:
        repeats: Timed rounds, ≥ 1.
        works: What to do, by name.
    """
    least = dict.fromkeys(works, math.inf)
    for turn in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                least[name] = min(least[name], time.perf_counter() - start)
    return least


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def configured(*args: str) -> Namespace:
    """Build the model and the data of the base recipe.

    Args:
        args: More of the command line, such as ``"--data.init_args.train_pairs=512"``.

    Returns:
        A namespace with `model` and `data`; what else the recipe says is left out.
    """
    parser = ArgumentParser(parser_mode="omegaconf+", exit_on_error=False)
    parser.add_argument("-c", action="config")
    parser.add_argument("--seed_everything", type=int)
    parser.add_argument("--run_dir", type=str)
    parser.add_argument("--trainer", type=dict[str, Any])
    parser.add_subclass_arguments(LightningModule, "model", fail_untyped=False)
    parser.add_subclass_arguments(LightningDataModule, "data", fail_untyped=False)
    config = parser.parse_args(["-c", str(BASE), *args])
    del config["trainer"]  # else its callbacks would be built as well
    return parser.instantiate_classes(config)


def training_step(model: DualEncoder, batch: Mapping[str, Any]) -> Callable[[], None]:
    """Return one step as in training (forward, backward, clipping, AdamW) without Lightning around it."""
    model.train()
    groups = parameter_groups(model, model.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=model.learning_rate, betas=model.betas, fused=True)

    def step() -> None:
        images, texts = model(batch)
        loss = model.objective(images, texts, batch, Gather())["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.objective.after_step()

    return step


def flop(work: Callable[[], object]) -> int:
    """Count the floating-point operations of a work's matrix products and convolutions."""
    # Fused attention on a CPU is unknown to the counter; the plain one is the same two products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops())


def training_rate(model: DualEncoder, batch: Mapping[str, Any], repeats: int, side: int) -> Measured:
    """Compare the training step of one batch with plain float32 matrix products.

    Args:
        model: The model; it is trained a little.
        batch: A training batch.
        repeats: Timed steps.
        side: Rows and columns of the square matrices.

    Returns:
        Samples and FLOP a second of training, FLOP a second of the matrix product, and the share of it that
        training reaches.
    """
    step = training_step(model, batch)
    a, b = torch.randn(2, side, side)
    per_step = flop(step)
    seconds = best_in_turns(repeats, {"step": step, "product": lambda: a @ b})
    training, product = per_step / seconds["step"], 2 * side**3 / seconds["product"]
    samples = len(batch[IMAGE])
    return {
        "samples_per_second": samples / seconds["step"],
        "flop_per_sample": per_step / samples,
        "training_flop_per_second": training,
        "matrix_product_flop_per_second": product,
        "share_of_matrix_product": training / product,
    }


class BatchClock(Callback):
    """Notes how long a pair takes in each epoch, from its first batch to its last.

    The first batch, and the wait for it, are left out: they weigh far more in these short epochs than in
    those of a real run.

    Attributes:
        seconds_per_pair: One number an epoch.
    """

    def __init__(self) -> None:
        self.seconds_per_pair: list[float] = []
        self._ends: list[float] = []
        self._pairs = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epoch before."""
        self._ends, self._pairs = [], 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time, and the pairs since the first."""
        self._pairs += len(batch[IMAGE]) if self._ends else 0
        self._ends.append(time.perf_counter())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Divide.

        Raises:
            ValueError: If the epoch had one batch.
        """
        if not self._pairs:
            raise ValueError(f"an epoch had {len(self._ends)} batch; give it 2 batches of pairs or more")
        self.seconds_per_pair.append((self._ends[-1] - self._ends[0]) / self._pairs)


def seconds_per_pair(model: DualEncoder, data: SyntheticPairs, epochs: int) -> float:
    """Train through Lightning and return the seconds a pair of the best epoch after the first."""
    clock = BatchClock()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1 + epochs,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        callbacks=[clock],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, datamodule=data)
    return min(clock.seconds_per_pair[1:])


def fly_against_cache(args: Sequence[str], cache: Path, rounds: int, epochs: int) -> Measured:
    """Train on pairs made on the fly and on the same pairs read from a cache, by turns.

    Args:
        args: For `configured`.
        cache: Directory of the cache; filled before anything is timed.
        rounds: Turns of each.
        epochs: Timed epochs of a turn.

    Returns:
        Pairs a second of both, and how many times longer an epoch on the fly takes.
    """
    places = {"on_the_fly": "null", "cached": str(cache)}
    least = dict.fromkeys(places, math.inf)
    for _ in range(rounds):
        for name, place in places.items():
            built = configured(*args, f"--data.init_args.cache_dir={place}")
            least[name] = min(least[name], seconds_per_pair(built.model, built.data, epochs))
    speeds = {f"{name}_pairs_per_second": 1 / seconds for name, seconds in least.items()}
    return speeds | {"on_the_fly_over_cached": least["on_the_fly"] / least["cached"]}


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
            "epoch_pairs": pairs,
            "val_pairs": 1,
            "test_pairs": 1,
            "batch_size": args.batch_size,
            "num_workers": 1,
        }.items()
    ]
    with tempfile.TemporaryDirectory() as directory:
        recipe.append(f"--data.init_args.artifacts_dir={directory}/artifacts")
        made = pairs_a_second(args.sizes, args.pairs, args.repeats)
        built = configured(*recipe, "--data.init_args.num_workers=0")
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
    main()
