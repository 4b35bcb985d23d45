"""All that a record holds of a comparison, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.comparison.definition import Arm, Comparison, Metric
from scripts.comparison.engine import Plan, check_alike
from scripts.comparison.outcomes.summaries import read_summaries
from scripts.comparison.placeholders import fill
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import Difference, Summary, difference


@dataclass(frozen=True)
class Results:
    """All that a record holds of a comparison.

    Attributes:
        comparison: What was compared.
        runs: Name of the arm → its runs; without those of which only summaries are left.
        summaries: Name of the arm → column → summary.
        missing: What the table lacks, in words.
    """

    comparison: Comparison
    runs: Mapping[str, Sequence[RunRecord]]
    summaries: Mapping[str, Mapping[str, Summary]]
    missing: Sequence[str] = ()

    def differences(self, metric: Metric) -> dict[str, Difference]:
        """Return each arm's difference from the reference in a metric, as far as both have been run."""
        reference = self.runs.get(self.comparison.reference, ())
        found = {
            name: difference(self.runs.get(name, ()), reference, metric.key)
            for name in self.comparison.lines
            if name != self.comparison.reference
        }
        return {name: known for name, known in found.items() if known is not None}


def read_results(plan: Plan, failed: Mapping[str, str] | None = None) -> Results:
    """Read the record of a comparison, or the summaries where no record is left.

    Args:
        plan: What was asked for.
        failed: What failed just now: name of the run → reason.

    Raises:
        ValueError: If the runs cannot be compared.
    """
    comparison, runs = plan.comparison, plan.record.read()
    known = {name: [run for run in runs if run.arm == name] for name in comparison.lines}
    check_alike(plan, [run for found in known.values() for run in found])
    summaries: dict[str, dict[str, Summary]] = {}
    for name, found in known.items():
        columns = {m.column: Summary.of(found, m.key) for m in comparison.metrics}
        summaries[name] = {column: summary for column, summary in columns.items() if summary is not None}
    missing = list(_missing(plan, known, failed or {}))
    if not runs and (kept := read_summaries(plan.out / "summary.csv")):
        summaries = {name: kept.get(name, {}) for name in comparison.lines}
        missing = [comparison.lines[name].title for name in comparison.lines if not summaries[name]]
    return Results(comparison, known, summaries, missing)


def _missing(
    plan: Plan, known: Mapping[str, Sequence[RunRecord]], failed: Mapping[str, str]
) -> Sequence[str]:
    """Name every run that is not in the record, and every figure that a run lacks."""
    seeds = sorted({*plan.all_seeds, *(run.seed for runs in known.values() for run in runs)})
    lacking = [f"{run}: failed ({reason})" for run, reason in failed.items()]
    measured = {key for runs in known.values() for run in runs for key in run.figures}
    nowhere = [m.column for m in plan.comparison.metrics if measured and m.key not in measured]
    never = [
        _wanting(plan.comparison.lines[name], plan.all_variables) for name, runs in known.items() if not runs
    ]
    for name, runs in known.items():
        title = plan.comparison.lines[name].title
        absent = [str(seed) for seed in seeds if seed not in {run.seed for run in runs}]
        if runs and absent:
            lacking.append(f"{title}, seed{'s' if len(absent) > 1 else ''} {' and '.join(absent)}: not run")
        for run in runs:
            less = [m.column for m in plan.comparison.metrics if m.key in measured - run.figures.keys()]
            if less:
                lacking.append(f"{title}, seed {run.seed}: no {', '.join(less)}")
    lacking += [f"{column}: not measured in any run" for column in nowhere]
    return [*lacking, *(f"{title}: not run" for title in never)]


def _wanting(arm: Arm, variables: Mapping[str, str]) -> str:
    """Return the title of an arm that has not been run, with what it needs."""
    return f"{arm.title} (needs {fill(arm.needs, variables)})" if arm.needs else arm.title
