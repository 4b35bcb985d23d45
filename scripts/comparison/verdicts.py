"""Verdicts on published claims: `python -m scripts.comparison.verdicts NAME --claims FILE`.

Each claim names its published figure and the two arms that ask the same here. What their difference says is
read from the record of the comparison: nothing is typed in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.command_line.errors import exit_code
from scripts.comparison.__main__ import add_options, plan_of
from scripts.comparison.definition import Comparison
from scripts.comparison.engine import Plan
from scripts.comparison.reader import read_comparison
from scripts.comparison.report import Results, read_results
from scripts.comparison.statistics import Difference, difference
from scripts.comparison.tables import Row, write_table
from synthesis.strict_yaml import Entry

CLAIMS = Path("configs/reports/claims.yaml")


@dataclass(frozen=True)
class Claim:
    """A published claim and what asks the same here.

    Attributes:
        claim: In words.
        source: Where it was published.
        published: Its figure there, in words.
        arm: The arm that is better if it holds …
        minus: … than this one.
        metric: In this column.
        decides: What would decide it where the interval does not.
    """

    claim: str
    source: str
    published: str
    arm: str
    minus: str
    metric: str
    decides: str


def read_claims(path: Path, comparison: Comparison) -> list[Claim]:
    """Read the claims of a file.

    Raises:
        YamlError: If it is malformed, or names an arm or column that the comparison does not have.
    """
    root, _ = Entry.read(path)
    columns, arms = [metric.column for metric in comparison.metrics], list(comparison.lines)
    claims = []
    for name, entry in root.named("claims", "claim"):
        del name
        claims.append(
            Claim(
                entry.text("claim"),
                entry.text("source"),
                entry.text("published"),
                entry.text("arm", arms),
                entry.text("minus", arms),
                entry.text("metric", columns),
                entry.text("decides"),
            )
        )
        entry.close()
    root.close()
    return claims


def verdict(found: Difference | None) -> str:
    """Return what a difference says: holds or fails where its interval excludes 0, else undecided.

    The interval is that over patients and seeds; a single seed decides nothing.
    """
    if found is None or found.low_seeds is None or found.high_seeds is None:
        return "undecided"
    return "holds" if found.low_seeds > 0 else "fails" if found.high_seeds < 0 else "undecided"


def verdict_rows(claims: Sequence[Claim], results: Results) -> list[Row]:
    """Return a row a claim: published figure, ours with its interval, verdict, and what would decide it."""
    rows: list[Row] = []
    for one in claims:
        key = results.comparison.metric(one.metric).key
        found = difference(results.runs.get(one.arm, ()), results.runs.get(one.minus, ()), key)
        told = verdict(found)
        ours = "not run"
        if found is not None:
            ours = f"{found.mean:+.3f}, {len(found.by_seed)} seed{'s' * (len(found.by_seed) != 1)}"
            if found.low_seeds is not None and found.high_seeds is not None:
                ours += f" [{found.low_seeds:+.3f}, {found.high_seeds:+.3f}]"
        rows.append(
            {
                "claim": one.claim,
                "published": f"{one.published} ({one.source})",
                "asked here": f"{one.arm} − {one.minus}, {one.metric}",
                "ours": ours,
                "verdict here": told,
                "what would decide": "—" if told != "undecided" else one.decides,
            }
        )
    return rows


def write_verdicts(plan: Plan, claims: Path) -> str:
    """Write ``verdicts`` (``.md``, ``.csv``, ``.tex``) of what the record holds, and return the table."""
    rows = verdict_rows(read_claims(claims, plan.comparison), read_results(plan))
    note = (
        f"Scale {plan.scale}. Differences with 95 % intervals over test patients and seeds; a claim holds or "
        "fails where the interval excludes 0. The hospital is simulated: no pair is of a real patient."
    )
    return write_table(rows, plan.out / "verdicts", note)


def main(args: list[str] | None = None) -> None:
    """Write the verdicts of a comparison."""
    parser = argparse.ArgumentParser(prog="scripts.comparison.verdicts", description=__doc__)
    parser.add_argument("comparison", nargs="?", default="paper")
    parser.add_argument("--claims", type=Path, default=CLAIMS)
    add_options(parser)
    options = parser.parse_args(args)
    print(write_verdicts(plan_of(read_comparison(options.comparison), options), options.claims))


if __name__ == "__main__":
    sys.exit(exit_code(main))
