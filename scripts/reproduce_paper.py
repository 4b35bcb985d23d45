"""The paper's comparison in one command: `python -m scripts.reproduce_paper --scale full|smoke`.

Every file in `configs/reproduce/` is one arm: what it changes in `configs/pretrain.yaml`. All arms run with
the same seeds, take equally many steps, and are tested, at their last checkpoint, on the same clean, balanced
pairs. Table and plot go to `results/paper/`, of all runs in `runs.csv` there, to which each adds its figures.
Finished runs are skipped, so an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.comparison import check_equal, describe, find_arms, layers, line, plot, run_all
from scripts.experiments import Experiment
from scripts.tables import write_table

BASE = Path("configs/pretrain.yaml")
ARMS = Path("configs/reproduce")
HELD_OUT = ARMS / "evaluation" / "held_out.yaml"
METRICS = {
    "zero-shot AUROC": "test/zero_shot/auroc_macro",
    "probe AUROC": "test/probe/auroc_macro",
    "R@10 image→report": "test/retrieval/i2t_hit@10",
    "R@10 report→image": "test/retrieval/t2i_hit@10",
}


def experiments(scale: str, seeds: Sequence[int], out: Path) -> dict[str, list[Experiment]]:
    """Return the runs of each arm, one a seed.

    Args:
        scale: Name of a file in `configs/reproduce/scales`: how long every arm trains.
        seeds: Values of `--seed_everything`.
        out: Directory under which the runs go.

    Raises:
        FileNotFoundError: If there is no such scale or no arm.
    """
    arms, scale_file = find_arms(ARMS, scale)
    runs = out / "runs"
    return {
        arm.stem: [
            Experiment(
                name=f"{arm.stem}, seed {seed}",
                args=(
                    *layers(BASE, arm, scale_file),
                    f"--seed_everything={seed}",
                    f"--data.init_args.artifacts_dir={runs / 'artifacts'}",
                ),
                directory=runs / f"{arm.stem}-{seed}",
                test=layers(BASE, HELD_OUT, scale_file),
            )
            for seed in seeds
        ]
        for arm in arms
    }


def reproduce(scale: str, seeds: Sequence[int], out: Path) -> str:
    """Run what has not finished yet, write table and plot, and return the table.

    Args:
        scale: Name of a file in `configs/reproduce/scales`.
        seeds: At least one seed.
        out: Directory for runs, `runs.csv`, `table.{md,csv,tex}` and `plot.png`.

    Raises:
        ValueError: If the arms are not trained for equally many steps, or not tested on the same pairs.
    """
    arms = experiments(scale, seeds, out)
    check_equal({name: runs[0].config() for name, runs in arms.items()})
    results = run_all(arms, list(METRICS.values()), out / "runs.csv")
    note = (
        f"`make reproduce-paper SCALE={scale}`: {describe(results)}, clean and balanced. Mean ± sd over "
        "seeds; in brackets the widest 95 % bootstrap bounds over the test pairs in any seed."
    )
    table = write_table([line(name, runs, METRICS) for name, runs in results.items()], out / "table", note)
    plot(results, METRICS, out / "plot.png")
    return table


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="full", help="a file in configs/reproduce/scales (default: full)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--out", type=Path, help="where results go (default: results/paper, or -<scale> of it)"
    )
    return parser.parse_args(args)


if __name__ == "__main__":
    options = parse()
    default = Path("results/paper" if options.scale == "full" else f"results/paper-{options.scale}")
    print(reproduce(options.scale, options.seeds, options.out or default))
