"""Arms side by side: `python -m scripts.comparison NAME`, or `make compare COMPARISON=NAME`.

`configs/comparisons/NAME.yaml` says which arms there are, what must be equal, and what is measured. What has
not been trained yet is trained, from its last checkpoint if it was interrupted; what has not been measured is
measured; and every run adds its figures to `runs.csv` in the directory of results. Tables and pictures are
made of all that this file holds, of other days and machines too. Several processes with the same command
share the runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts.command_line.errors import exit_code
from scripts.command_line.numbers import number, whole
from scripts.comparison.definition import Comparison
from scripts.comparison.engine import Plan, carry_out
from scripts.comparison.reader import read_comparison
from scripts.comparison.report import write_report
from scripts.comparison.run import RESUME_MINUTES


def compare(plan: Plan) -> str:
    """Run what has not finished yet, write tables and pictures, and return the table.

    Raises:
        SystemExit: With status 1 after all is written, if a run failed; names it and the reason.
        ValueError: If the arms do not train alike, or the runs of the record cannot be compared.
    """
    failed = carry_out(plan)
    table = write_report(plan, failed)
    if failed:
        print(table)
        raise SystemExit("failed: " + "; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    return table


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        prog="scripts.comparison", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("comparison", help="a file in configs/comparisons, or the path of another one")
    add_options(parser)
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="where pairs are kept")
    parser.add_argument("--seeds", type=whole(0), nargs="+", default=[], help="in place of the comparison's")
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="ARM",
        help="those that run here, or groups (none: draw what is recorded)",
    )
    parser.add_argument(
        "--var",
        nargs="+",
        action="extend",  # make writes one, ARGS another
        default=[],
        metavar="NAME=VALUE",
        help="in place of the comparison's variables",
    )
    return parser.parse_args(args)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what comparisons and sweeps alike can be asked."""
    parser.add_argument("--scale", help="one of its scales (default: its first)")
    parser.add_argument("--precision", help="of the arithmetic, as in Lightning (default: as the YAML says)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="over all runs; needs --out"
    )
    parser.add_argument(
        "--minutes",
        type=number(0),
        default=RESUME_MINUTES,
        help="time between two checkpoints that an interrupted run goes on from (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, help="where results go (default: as the YAML says, with -<scale>)"
    )


def plan_of(comparison: Comparison, options: argparse.Namespace, **chosen: Any) -> Plan:
    """Return what a command line asks for.

    Args:
        comparison: What it asks it of.
        options: Those of `add_options`.
        **chosen: Further fields of the plan.

    Raises:
        SystemExit: If `--set` has no `--out`, or is not ``KEY=VALUE``.
    """
    if options.set and options.out is None:
        raise SystemExit("--set changes every arm: give --out, so that its results are not mixed with others")
    overrides: dict[str, Any] = {}
    for given in options.set:
        key, equals, value = given.partition("=")
        if not equals:
            raise SystemExit(f"--set {given}: write KEY=VALUE, as in --set trainer.max_epochs=1")
        overrides[key] = yaml.safe_load(value)
    name = options.scale or comparison.usual_scale
    scale = "" if name == comparison.usual_scale else f"-{name}"
    return Plan(
        comparison,
        name,
        options.out or Path(f"{comparison.out or 'results/' + comparison.name}{scale}"),
        overrides=overrides,
        precision=options.precision,
        resume_minutes=options.minutes,
        **chosen,
    )


def main(args: list[str] | None = None) -> None:
    """Compare, as a command line says."""
    options = parse(args)
    comparison = read_comparison(options.comparison)
    if wrong := [given for given in options.var if "=" not in given]:
        raise SystemExit(f"--var {' '.join(wrong)}: write NAME=VALUE")
    plan = plan_of(
        comparison,
        options,
        cache=options.cache,
        seeds=tuple(options.seeds),
        arms=None if options.arms is None else comparison.named(options.arms),
        variables={name: value for name, _, value in (given.partition("=") for given in options.var)},
    )
    print(compare(plan))


if __name__ == "__main__":
    sys.exit(exit_code(main))
