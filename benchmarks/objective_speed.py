"""What a training step of each objective costs, beside plain InfoNCE's (`clip`).

Every file in `configs/objectives` trains some steps as `make compare-objectives` would: with its texts, twins
and second images. The quickest step of each counts. Ratios carry over to other machines, seconds do not.

    python -m benchmarks.objective_speed                            # on a machine with nothing else to do
    python -m benchmarks.objective_speed --scale=smoke --steps=2    # to see that it works

Writes `results/bench/objectives.{md,csv,tex}`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.step_timer import StepTimer
from main import main as fit
from scripts.command_line.errors import exit_code
from scripts.comparison.configuration import words
from scripts.comparison.definition import Layers
from scripts.comparison.reader import read_comparison
from scripts.comparison.tables import Row, write_table

COMPARISON = "objectives"
RESULTS = Path("results/bench")
REFERENCE = "clip"
# Nothing but steps.
BARE = (
    "--trainer.callbacks=benchmarks.step_timer.StepTimer",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.enable_checkpointing=false",
    "--trainer.limit_val_batches=0",
    "--trainer.max_epochs=-1",
    "--data.init_args.loader.num_workers=0",
)


def seconds_a_step(
    layers: Layers, name: str, steps: int, precision: str, directory: str
) -> tuple[float, int]:
    """Train an arm and time it.

    Args:
        layers: Base, arm and scale.
        name: Of the arm.
        steps: Steps after a first one that is not counted.
        precision: Value of `--trainer.precision`.
        directory: Where tokenizer and pairs are kept for the next arm.

    Returns:
        Seconds of the quickest step, and pairs of a step.
    """
    kept = {"artifacts_dir": f"{directory}/artifacts", "cache_dir": f"{directory}/cache"}
    sizes = {"train_pairs": 256, "loader.epoch_size": 256, "val_pairs": 16}
    given = [f"--data.init_args.{name}={value}" for name, value in (kept | sizes).items()]
    given += [f"--trainer.max_steps={steps + 1}", f"--trainer.precision={precision}"]
    line = fit(["fit", *words(layers), *BARE, *given, f"--run_dir={directory}/{name}"])
    callbacks = line.trainer.callbacks  # type: ignore[attr-defined]
    timer = next(callback for callback in callbacks if isinstance(callback, StepTimer))
    return min(timer.seconds[1:]), line.datamodule.loader.batch_size


def measure(scale: str, steps: int, precision: str, out: Path) -> str:
    """Time every objective, write the table and return it.

    Args:
        scale: One of `configs/comparisons/objectives.yaml`.
        steps: Timed steps of each, at least 1.
        precision: Value of `--trainer.precision`.
        out: Directory of the table.
    """
    comparison = read_comparison(COMPARISON)
    sizes = comparison.scales[scale].layers
    with tempfile.TemporaryDirectory() as directory:
        found = {
            name: seconds_a_step(comparison.base + arm.layers + sizes, name, steps, precision, directory)
            for name, arm in comparison.arms.items()
        }
    rows: list[Row] = [
        {
            "objective": name,
            "of clip's time": f"×{seconds / found[REFERENCE][0]:.2f}",
            "seconds a step": seconds,
            "pairs a second": f"{pairs / seconds:.0f}",
        }
        for name, (seconds, pairs) in found.items()
    ]
    machine = f"{torch.get_num_threads()} threads of {os.cpu_count()} CPUs"
    note = (
        f"`python -m benchmarks.objective_speed --scale={scale}`: the quickest of {steps} steps of "
        f"{found[REFERENCE][1]} pairs, {precision}, {machine} ({torch.backends.cpu.get_cpu_capability()}), "
        f"torch {torch.__version__}. Twins and CXR-CLIP encode two images a pair."
    )
    return write_table(rows, out / "objectives", note)


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--scale", default="full", help="full or smoke")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each objective")
    parser.add_argument("--precision", default="32-true", help="of the arithmetic, as in Lightning")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    return parser.parse_args(args)


def main() -> None:
    """Measure and print."""
    options = parsed()
    print(measure(options.scale, options.steps, options.precision, options.results))


if __name__ == "__main__":
    sys.exit(exit_code(main))
