"""A W&B sweep file without a network: `python -m scripts.sweeps configs/sweeps/….yaml`.

Grid and random sweeps are expanded, bayes is searched by Optuna; runs that fall behind end as the file's
`early_terminate` says. Killed, it goes on where it was; the same command in another shell is one more agent.
Table and pictures go to `results/<sweep>/`, beside the study. A file of `configs/recipes/` gives another
scale, laid between what the sweep's command names and the parameters: `--scale=smoke` runs every row in
seconds, into `results/<sweep>-smoke/`; of a sweep over another task it is `--scale=smoke_task`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command_line.errors import exit_code
from scripts.comparison.__main__ import add_options, plan_of
from scripts.comparison.engine import Plan
from scripts.resolved_config import resolved_config
from scripts.sweeps.agent import Agent
from scripts.sweeps.journal import open_journal
from scripts.sweeps.results import write_results
from scripts.sweeps.sweep_file import SweepFile
from scripts.sweeps.sweep_study import JOURNAL, SweepStudy


def run_sweep(sweep: SweepFile, plan: Plan) -> str:
    """Run what has not ended yet, write table and pictures, and return the table.

    Args:
        sweep: The sweep file.
        plan: Where it goes, and at what scale.

    Raises:
        SystemExit: With status 1 after all is written, if a run failed.
        ValueError: If nothing has ended.
    """
    if plan.out.exists() and not plan.out.is_dir():
        raise SystemExit(f"--out={plan.out} is a file; give the path of a directory")
    plan.out.mkdir(parents=True, exist_ok=True)
    everywhere = plan.run(sweep.arm({}), plan.all_seeds[0]).args
    study = SweepStudy(sweep, plan.out / JOURNAL, resolved_config("fit", *everywhere))
    Agent(study, plan).work()
    table = write_results(study.study, plan.out, sweep.path.name, sweep.size)
    failed = {
        t.number: t.user_attrs["failed"]
        for t in study.trials
        if t.state.name in ("RUNNING", "FAIL") and t.user_attrs.get("failed")
    }
    if failed:
        print(table)
        raise SystemExit(
            "failed: " + "; ".join(f"run {number}: {reason}" for number, reason in failed.items())
        )
    return table


def drawn_again(sweep: SweepFile, plan: Plan) -> str:
    """Write table and pictures of the latest study in a directory, and return the table; nothing is trained.

    Raises:
        FileNotFoundError: If there is no study.
    """
    journal = plan.out / JOURNAL
    if not journal.exists():
        raise FileNotFoundError(f"{journal}: no such file; run the sweep first, or give its --out")
    import optuna

    storage = open_journal(journal)
    study = optuna.load_study(study_name=optuna.get_all_study_names(storage)[-1], storage=storage)
    return write_results(study, plan.out, sweep.path.name)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        prog="scripts.sweeps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, help="the sweep file")
    parser.add_argument(
        "--draw", action="store_true", help="run nothing: table and pictures of what there is"
    )
    add_options(parser)
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run a sweep, as a command line says."""
    options = parse(args)
    sweep = SweepFile.read(options.sweep)
    plan = plan_of(sweep.comparison(), options)
    print(drawn_again(sweep, plan) if options.draw else run_sweep(sweep, plan))


if __name__ == "__main__":
    sys.exit(exit_code(main))
