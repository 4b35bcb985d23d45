"""The note under the table: with what, for how long and on what the arms were run."""

from __future__ import annotations

from pathlib import Path

from scripts.comparison.engine import Plan
from scripts.comparison.outcomes.results import Results
from scripts.comparison.placeholders import fill
from scripts.comparison.record import RunRecord

_LEGEND = (
    "Mean ± sd over seeds; in brackets the widest 95 % bootstrap bounds over the test patients in any seed."
)


def note_of(plan: Plan, results: Results) -> str:
    """Return the comparison's note with its facts, and what is missing."""
    if not any(results.runs.values()):  # only summaries are left: what was known of the runs is in the table
        return _earlier_note(plan.out / "table.md")
    told = fill(results.comparison.note, note_facts(plan, results)).strip()
    lacking = f" Missing: {'; '.join(results.missing)}." if results.missing else ""
    return f"{told} {_LEGEND}{lacking}"


def _earlier_note(table: Path) -> str:
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
        **plan.all_variables,
        "commits": ", ".join(values("commit")) or "an unknown commit",
        "groups": "; ".join(
            f"{name}: {' | '.join(plan.comparison.arms[arm].title for arm in arms)}"
            for name, arms in plan.comparison.groups.items()
        ),
    }


def _training(run: RunRecord) -> str:
    samples = f", {int(run.facts['samples']):,} samples" if "samples" in run.facts else ""
    return f"{run.name}: {run.facts['minutes']} min{samples}"
