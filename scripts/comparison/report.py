"""What a comparison leaves: tables of arms and of differences, a forest plot, a note with the facts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.comparison.definition import Arm, Comparison, Metric, fill
from scripts.comparison.engine import Plan, check_alike
from scripts.comparison.forest import draw_forest
from scripts.comparison.measure import build, place
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import Difference, Summary, difference, holm
from scripts.comparison.tables import Row, write_table
from synthesis.files import locked, write_atomically

_LEGEND = (
    "Mean ± sd over seeds; in brackets the widest 95 % bootstrap bounds over the test patients in any seed."
)


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
    if not runs and (kept := _read_summaries(plan.out / "summary.csv")):
        summaries = {name: kept.get(name, {}) for name in comparison.lines}
        missing = [comparison.lines[name].title for name in comparison.lines if not summaries[name]]
    return Results(comparison, known, summaries, missing)


def _missing(
    plan: Plan, known: Mapping[str, Sequence[RunRecord]], failed: Mapping[str, str]
) -> Sequence[str]:
    """Name every run that is not in the record, and every figure that a run lacks."""
    seeds = sorted({*plan.all_seeds, *(run.seed for runs in known.values() for run in runs)})
    lacking = [f"{run}: failed ({reason})" for run, reason in failed.items()]
    variables = {**plan.comparison.variables, **plan.settings.variables, **plan.variables}
    never = [_wanting(plan.comparison.lines[name], variables) for name, runs in known.items() if not runs]
    for name, runs in known.items():
        title = plan.comparison.lines[name].title
        absent = [str(seed) for seed in seeds if seed not in {run.seed for run in runs}]
        if runs and absent:
            lacking.append(f"{title}, seed{'s' if len(absent) > 1 else ''} {' and '.join(absent)}: not run")
        for run in runs:
            if less := [m.column for m in plan.comparison.metrics if m.key not in run.figures]:
                lacking.append(f"{title}, seed {run.seed}: no {', '.join(less)}")
    if never:
        lacking.append(f"{', '.join(never)}: not run")
    return lacking


def _wanting(arm: Arm, variables: Mapping[str, str]) -> str:
    """Return the title of an arm that has not been run, with what it needs."""
    return f"{arm.title} (needs {fill(arm.needs, variables)})" if arm.needs else arm.title


def write_report(plan: Plan, failed: Mapping[str, str] | None = None) -> str:
    """Write all tables and pictures of what the record holds, and return the main table.

    ``table``, ``differences`` and ``contrasts`` (``.md``, ``.csv``, ``.tex``), ``forest.png`` and
    ``forest.pdf``, ``summary.csv`` with the plain numbers, and what the measures draw themselves.

    Args:
        plan: What was asked for.
        failed: What failed just now.

    Raises:
        ValueError: If nothing has been run, or the runs cannot be compared.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with locked(plan.out, ".table.lock"):
        results = read_results(plan, failed)
        if not any(results.summaries.values()):
            raise ValueError(f"{plan.record.path}: nothing has finished: {'; '.join(results.missing)}")
        table = write_table(list(_rows(results)), plan.out / "table", _note(plan, results))
        if any(results.runs.values()):
            _write_summaries(results, plan.out / "summary.csv")
        if rows := list(_difference_rows(results)):
            write_table(rows, plan.out / "differences", _difference_note(results))
        if any(results.runs.values()) and (rows := list(_contrast_rows(results))):
            table += "\n" + write_table(rows, plan.out / "contrasts", _contrast_note(results))
        draw_forest(results, plan.out)
        _measures_report(plan, results)
    return table


def _rows(results: Results) -> Sequence[Row]:
    lines = []
    for name, arm in results.comparison.lines.items():
        found = results.summaries[name]
        cells = {
            m.column: found[m.column].text() if m.column in found else "—" for m in results.comparison.metrics
        }
        lines.append({"arm": arm.title, **cells})
    return lines


def _note(plan: Plan, results: Results) -> str:
    if not any(results.runs.values()):  # only summaries are left: what was known of the runs is in the table
        return _note_of(plan.out / "table.md")
    told = fill(results.comparison.note, note_facts(plan, results)).strip()
    lacking = f" Missing: {'; '.join(results.missing)}." if results.missing else ""
    return f"{told} {_LEGEND}{lacking}"


def _note_of(table: Path) -> str:
    """Return the note under a table that was written before."""
    lines = table.read_text().splitlines() if table.exists() else []
    return "\n".join(line for line in lines if not line.startswith("|")).strip() or _LEGEND


def note_facts(plan: Plan, results: Results) -> dict[str, str]:
    """Return what the note of a comparison may mention in braces.

    ``command``, ``seeds`` (their number), ``steps``, ``minutes`` and ``samples`` of training (from … to …),
    ``training`` (minutes and samples of each run), ``threads``, ``precision``, ``splits`` (seed, precision
    and SHA-256 of the test pairs), ``commits``, and the comparison's variables.
    """
    runs = [run for arm in results.runs.values() for run in arm]

    def values(fact: str) -> list[str]:
        return sorted({run.facts[fact] for run in runs if fact in run.facts})

    def span(fact: str) -> str:
        numbers = sorted(float(value) for value in values(fact))
        ends = [f"{number:,.10g}" for number in (numbers[:1] + numbers[-1:])]
        return " to ".join(dict.fromkeys(ends)) or "an unknown number of"

    counts = sorted({len(arm) for arm in results.runs.values() if arm})
    number = " to ".join(map(str, dict.fromkeys([*counts[:1], *counts[-1:]])))
    kinds = sorted(
        {(r.seed, r.facts.get("precision", ""), r.facts.get("split_sha256", "")[:12]) for r in runs}
    )
    return {
        "command": f"make compare COMPARISON={plan.comparison.name} SCALE={plan.scale}",
        "seeds": f"{number} seed{'' if number == '1' else 's'}",
        "steps": span("steps"),
        "minutes": span("minutes"),
        "samples": span("samples"),
        "threads": " or ".join(values("threads")) or "an unknown number of",
        "precision": " or ".join(values("precision")),
        "splits": "; ".join(f"seed {seed} in {precision}, SHA-256 {sha}…" for seed, precision, sha in kinds),
        "training": "; ".join(_training(run) for run in runs if "minutes" in run.facts)
        or "no record of training",
        **plan.comparison.variables,
        **plan.settings.variables,
        **plan.variables,
        "commits": ", ".join(values("commit")) or "an unknown commit",
        "groups": "; ".join(
            f"{name}: {', '.join(plan.comparison.arms[arm].title for arm in arms)}"
            for name, arms in plan.comparison.groups.items()
        ),
    }


def _training(run: RunRecord) -> str:
    samples = f", {int(run.facts['samples']):,} samples" if "samples" in run.facts else ""
    return f"{run.name}: {run.facts['minutes']} min{samples}"


def _difference_rows(results: Results) -> Sequence[Row]:
    rows = []
    for metric in results.comparison.metrics:
        for name, found in results.differences(metric).items():
            rows.append(
                {"arm": results.comparison.lines[name].title, "metric": metric.column, **_cells(found)}
            )
    return rows


def _cells(found: Difference) -> dict[str, str]:
    def bounds(low: float | None, high: float | None) -> str:
        return "—" if low is None or high is None else f"[{low:+.3f}, {high:+.3f}]"

    return {
        "difference": f"{found.mean:+.3f}",
        "95 % interval, patients": bounds(found.low, found.high),
        "95 % interval, patients and seeds": bounds(found.low_seeds, found.high_seeds),
        "by seed": ", ".join(f"{value:+.3f}" for value in found.by_seed.values()) or "no seed in common",
        "paired": "yes" if found.paired else "no",
    }


def _difference_note(results: Results) -> str:
    reference = results.comparison.lines[results.comparison.reference].title
    return (
        f"Each arm less {reference}. Paired: resample by resample on the same test patients, averaged over "
        "seeds. The second interval also counts how much seeds differ; it needs two. Where draws are not in "
        "the record, the arms' own intervals are combined as if independent, which is too wide."
    )


def _contrast_rows(results: Results) -> Sequence[Row]:
    comparison = results.comparison
    found = {
        contrast: difference(
            results.runs.get(contrast.arm, ()),
            results.runs.get(contrast.minus, ()),
            comparison.metric(contrast.metric).key,
        )
        for contrast in comparison.contrasts
    }
    tested = [contrast for contrast, known in found.items() if known is not None and known.p is not None]
    values = [float(p) for contrast in tested if (known := found[contrast]) and (p := known.p) is not None]
    corrected = dict(zip(tested, holm(values), strict=True))
    rows = []
    for contrast, known in found.items():
        arm, minus = (comparison.lines[name].title for name in (contrast.arm, contrast.minus))
        empty = dict.fromkeys(_cells(Difference(0, {}, None, None, False)), "—") | {"difference": "not run"}
        cells = empty if known is None else _cells(known)
        p = corrected.get(contrast)
        rows.append(
            {
                "contrast": f"{arm} − {minus}",
                "metric": contrast.metric,
                **cells,
                "p (Holm)": "—" if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001",
                "asked": contrast.claim or "—",
            }
        )
    return rows


def _contrast_note(results: Results) -> str:
    return (
        "Fixed before anything was run. Two-sided p of the paired draws over the test patients, corrected "
        f"for {len(results.comparison.contrasts)} contrasts (Holm 1979). It does not count how much seeds "
        "differ: the interval over patients and seeds does."
    )


_SUMMARY = ("arm", "metric", "seeds", "mean", "sd", "low", "high")


def _write_summaries(results: Results, path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_SUMMARY)
    for name, columns in results.summaries.items():
        for column, found in columns.items():
            writer.writerow([name, column, found.count, found.mean, found.deviation, found.low, found.high])
    write_atomically(path, text.getvalue())


def _read_summaries(path: Path) -> dict[str, dict[str, Summary]]:
    """Read ``summary.csv``: all that is left of comparisons whose runs were not recorded one by one.

    Raises:
        ValueError: Naming file and line if it is not such a file.
    """
    found: dict[str, dict[str, Summary]] = {}
    if not path.exists():
        return found
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _SUMMARY:
            raise ValueError(f"{path}: columns are {reader.fieldnames}, wanted {list(_SUMMARY)}")
        for row in reader:
            try:
                sd, low, high = (float(row[key]) if row[key] else None for key in ("sd", "low", "high"))
                summary = Summary(int(row["seeds"]), float(row["mean"]), sd, low, high)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {row} ({error}). Correct the line"
                ) from error
            found.setdefault(row["arm"], {})[row["metric"]] = summary
    return found


def _measures_report(plan: Plan, results: Results) -> None:
    """Have each measure draw what a table cannot show, of the runs that lie here."""
    for settings in plan.measures:
        runs = [
            plan.run(results.comparison.lines[name], of[0].seed) for name, of in results.runs.items() if of
        ]
        here = {run.arm.title: place(settings, run) for run in runs if place(settings, run).is_dir()}
        if here:
            build(settings, runs[0]).report(here, plan.out)
