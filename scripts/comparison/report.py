"""What a comparison leaves: tables, pictures, and a page of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.comparison.engine import Plan
from scripts.comparison.measure import build, place
from scripts.comparison.outcomes.arm_pictures import write_pictures
from scripts.comparison.outcomes.claim import read_claims
from scripts.comparison.outcomes.forest import forest_plot
from scripts.comparison.outcomes.note import note_of
from scripts.comparison.outcomes.page import write_page
from scripts.comparison.outcomes.power import POWER_NOTE, power_rows
from scripts.comparison.outcomes.results import Results, read_results
from scripts.comparison.outcomes.rows import (
    arm_rows,
    contrast_note,
    contrast_rows,
    difference_note,
    difference_rows,
)
from scripts.comparison.outcomes.scaling import Scaling, scalings
from scripts.comparison.outcomes.scaling_plot import scaling_plot
from scripts.comparison.outcomes.scaling_tables import LAW_NOTE, SCALING_NOTE, law_rows, scaling_rows
from scripts.comparison.outcomes.summaries import write_summaries
from scripts.comparison.outcomes.verdicts import verdict_note, verdict_rows
from scripts.comparison.tables import Row, write_table
from synthesis.files import locked


def write_report(plan: Plan, failed: Mapping[str, str] | None = None) -> str:
    """Write all tables and pictures of what the record holds, and return the main table and the contrasts.

    - ``table``, ``differences``, ``contrasts``, ``power``, ``scaling``, ``scaling_law`` and ``verdicts``
      (``.md``, ``.csv``, ``.tex``), as far as the comparison asks for them, and ``summary.csv`` with the
      plain numbers;
    - ``forest`` and ``scaling`` (``.png``, ``.pdf``), the pictures that the comparison keeps of its runs, and
      what the measures draw themselves;
    - ``report.html``, all of it on a page that needs nothing else.

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
        curves = scalings(results, plan.all_variables)
        told = _write_tables(plan, results, curves)
        drawings = [forest_plot(results), *([scaling_plot(curves)] if curves else [])]
        for drawing in drawings:
            drawing.write(plan.out)
        _measures_report(plan, results)
        write_pictures(plan, results)
        write_page(results, drawings, plan.out)
    return told


def _write_tables(plan: Plan, results: Results, curves: list[Scaling]) -> str:
    """Write the tables; where only summaries are left, that of the arms alone."""
    table = write_table(arm_rows(results), plan.out / "table", note_of(plan, results))
    if not any(results.runs.values()):
        return table
    write_summaries(results.summaries, plan.out / "summary.csv")
    claims = plan.comparison.claims
    published, note = read_claims(Path(claims), plan.comparison) if claims else ([], "")
    others: dict[str, tuple[list[Row], str]] = {
        "differences": (difference_rows(results), difference_note(results)),
        "contrasts": (contrast_rows(results), contrast_note(results)),
        "power": (power_rows(results), POWER_NOTE),
        "scaling": (scaling_rows(curves), SCALING_NOTE),
        "scaling_law": (law_rows(curves), LAW_NOTE),
        "verdicts": (verdict_rows(published, results), verdict_note(plan.scale, note)),
    }
    told = {stem: _written(rows, plan.out / stem, note) for stem, (rows, note) in others.items()}
    return "\n".join(text for text in (table, told["contrasts"], told["verdicts"]) if text)


def _written(rows: list[Row], stem: Path, note: str) -> str:
    """Write a table, or take away an earlier one that the comparison does not ask for any more."""
    if rows:
        return write_table(rows, stem, note)
    for suffix in (".md", ".csv", ".tex"):
        stem.with_suffix(suffix).unlink(missing_ok=True)
    return ""


def _measures_report(plan: Plan, results: Results) -> None:
    """Have each measure draw what a table cannot show, of the runs that lie here."""
    for settings in plan.measures:
        runs = [
            plan.run(results.comparison.lines[name], of[0].seed) for name, of in results.runs.items() if of
        ]
        here = {run.arm.title: place(settings, run) for run in runs if place(settings, run).is_dir()}
        if here:
            build(settings, runs[0]).report(here, plan.out)
