"""Every objective at equal steps and data: `python -m scripts.compare_objectives --scale full|smoke`.

Every file in `configs/objectives/` is one arm over `configs/pretrain.yaml`. The scale, laid over all of them,
gives each the same pairs, the same two texts a report and the same schedule. What differs is the objective
with what belongs to it: agreement of texts, twins, a second augmentation, unpaired texts, a frozen text
encoder. All are tested, at their last checkpoint, on the same held-out pairs. Pairs lie in a cache that all
runs of a seed share; finished runs are skipped, so an interrupted comparison goes on.

Table and plot go to `results/objectives/`, of all runs in `runs.csv` there, to which each adds its figures:
`--arms` and `--seeds` spread a comparison over days or machines. `--pairs` is the budget: so many pairs an
arm, each seen once, in place of the scale's epochs. `configs/objectives/evaluation/tasks.yaml` says what is
measured, `METRICS` what the table shows of it. A change there tests again what is trained already.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.comparison import BUDGET, check_equal, describe, find_arms, layers, line, plot, run_all
from scripts.experiments import Experiment
from scripts.tables import write_table

BASE = Path("configs/pretrain.yaml")
ARMS = Path("configs/objectives")
HELD_OUT = Path("configs/reproduce/evaluation/held_out.yaml")
TASKS = ARMS / "evaluation" / "tasks.yaml"
METRICS = {
    "zero-shot AUROC": "test/zero_shot/auroc_macro",
    "probe AUROC, 1 % of labels": "test/probe/1%/auroc_macro",
    "probe AUROC, 10 %": "test/probe/10%/auroc_macro",
    "probe AUROC, 100 %": "test/probe/auroc_macro",
    "R@10 image→report": "test/retrieval/i2t_hit@10",
    "R@10 report→image": "test/retrieval/t2i_hit@10",
    "pointing game over chance": "test/grounding/pointing_gain",
    "grounding, CNR": "test/grounding/cnr",
    "twins, right report": "test/twins/accuracy",
}
EQUAL = (
    *BUDGET,
    "data.init_args.train_pairs",
    "data.init_args.views.texts",
    "model.init_args.learning_rate",
    "model.init_args.warmup",
)


def experiments(
    scale: str,
    seeds: Sequence[int],
    out: Path,
    cache: Path,
    precision: str = "32-true",
    pairs: int | None = None,
) -> dict[str, list[Experiment]]:
    """Return the runs of each objective, one a seed.

    Args:
        scale: Name of a file in `configs/objectives/scales`: how long every arm trains.
        seeds: Values of `--seed_everything`.
        out: Directory under which the runs go.
        cache: Directory of the pair caches.
        precision: Value of `--trainer.precision`.
        pairs: Pairs that each arm trains on, once each; None leaves that to the scale.

    Raises:
        FileNotFoundError: If there is no such scale or no arm.
    """
    arms, scale_file = find_arms(ARMS, scale)
    runs = out / "runs"
    shared = (f"--data.init_args.cache_dir={cache}", f"--trainer.precision={precision}")
    return {
        arm.stem: [
            Experiment(
                name=f"{arm.stem}, seed {seed}",
                args=(
                    *layers(BASE, arm, scale_file),
                    *shared,
                    *_budget(pairs),
                    f"--seed_everything={seed}",
                    f"--data.init_args.artifacts_dir={runs / 'artifacts'}",
                ),
                directory=runs / f"{arm.stem}-{seed}",
                test=(*layers(BASE, HELD_OUT, scale_file, TASKS), *shared),
            )
            for seed in seeds
        ]
        for arm in arms
    }


def _budget(pairs: int | None) -> tuple[str, ...]:
    if pairs is None:
        return ()
    once = ("--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1")
    return (*once, *(f"--data.init_args.{key}={pairs}" for key in ("train_pairs", "loader.epoch_size")))


def compare(
    scale: str,
    seeds: Sequence[int],
    out: Path,
    cache: Path,
    precision: str = "32-true",
    pairs: int | None = None,
    only: Sequence[str] | None = None,
) -> str:
    """Run what has not finished yet, write table and plot, and return the table.

    Args:
        scale: Name of a file in `configs/objectives/scales`.
        seeds: At least one seed.
        out: Directory for runs, `runs.csv`, `table.{md,csv,tex}` and `plot.png`.
        cache: Directory of the pair caches.
        precision: Value of `--trainer.precision`.
        pairs: See `experiments`.
        only: Names of the arms that run here; None runs all, and with none of them table and plot are made of
            what is in `runs.csv`.

    Raises:
        ValueError: If an arm is not known, or the arms are not trained alike or not tested on the same pairs.
    """
    arms = experiments(scale, seeds, out, cache, precision, pairs)
    if unknown := set(only or ()) - set(arms):
        raise ValueError(f"no such arms: {sorted(unknown)}. There are {list(arms)}")
    check_equal({name: runs[0].config() for name, runs in arms.items()}, EQUAL)
    here = {name: runs for name, runs in arms.items() if only is None or name in only}
    results = run_all(here, list(METRICS.values()), out / "runs.csv")
    note = (
        f"`{_command(scale, pairs)}`, trained on the same pairs and texts: {describe(results)}. "
        "Contradiction, CXR-CLIP and twins also ask the two texts of a report to agree (text_agreement). "
        "Twins encodes a twin beside each pair, and CXR-CLIP a second image: two images a pair and step. "
        "MedCLIP reads texts of other patients (unpaired), and is asked for a patient's own at test. "
        "Grounding takes patches through the projection of whole images, not through GLoRIA's and MGCA's own "
        "for regions. "
        "M-FLAG's frozen text encoder has random weights here. Mean ± sd over seeds; "
        "in brackets the widest 95 % bootstrap bounds over the test pairs in any seed."
    )
    table = write_table([line(name, runs, METRICS) for name, runs in results.items()], out / "table", note)
    plot(results, METRICS, out / "plot.png")
    return table


def _command(scale: str, pairs: int | None) -> str:
    budget = "" if pairs is None else f' ARGS="--pairs={pairs}"'
    return f"make compare-objectives SCALE={scale}{budget}"


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="full", help="a file in configs/objectives/scales (default: full)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="ARM",
        help="those that run here (default: all; none: draw what is in runs.csv)",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("cache"), help="where pairs are kept (default: cache)"
    )
    parser.add_argument("--precision", default="32-true", help="of the arithmetic, as in Lightning")
    parser.add_argument("--pairs", type=int, help="pairs an arm, each seen once (default: as the scale says)")
    parser.add_argument(
        "--out", type=Path, help="where results go (default: results/objectives, with -<scale> and -<pairs>)"
    )
    return parser.parse_args(args)


if __name__ == "__main__":
    options = parse()
    parts = ["results/objectives", *([] if options.scale == "full" else [options.scale])]
    parts += [] if options.pairs is None else [str(options.pairs)]
    directory = options.out or Path("-".join(parts))
    print(
        compare(
            options.scale,
            options.seeds,
            directory,
            options.cache,
            options.precision,
            options.pairs,
            options.arms,
        )
    )
