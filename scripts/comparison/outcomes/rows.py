"""Rows of the tables of arms, of their differences from the reference and of the contrasts."""

from __future__ import annotations

from scripts.comparison.definition import Contrast
from scripts.comparison.outcomes.results import Results
from scripts.comparison.statistics import Difference, difference, holm
from scripts.comparison.tables import Row


def arm_rows(results: Results) -> list[Row]:
    """Return a row an arm: mean, deviation and bounds of each metric."""
    lines: list[Row] = []
    for name, arm in results.comparison.lines.items():
        found = results.summaries[name]
        cells = {
            m.column: found[m.column].text() if m.column in found else "—" for m in results.comparison.metrics
        }
        lines.append({"arm": arm.title, **cells})
    return lines


def difference_rows(results: Results) -> list[Row]:
    """Return a row for each metric of each arm: its difference from the reference."""
    rows: list[Row] = []
    for metric in results.comparison.metrics:
        for name, found in results.differences(metric).items():
            title = results.comparison.lines[name].title
            rows.append({"arm": title, "metric": metric.column, **_cells(found)})
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


def difference_note(results: Results) -> str:
    """Return what a reader of the differences has to know."""
    reference = results.comparison.lines[results.comparison.reference].title
    return (
        f"Each arm less {reference}. Paired: resample by resample on the same test patients, averaged over "
        "seeds. The second interval also counts how much seeds differ; it needs two. Where draws are not in "
        "the record, the arms' own intervals are combined as if independent, which is too wide."
    )


def contrast_differences(results: Results) -> dict[Contrast, Difference | None]:
    """Return what each contrast found; None where an arm has not been run."""
    comparison = results.comparison
    return {
        contrast: difference(
            results.runs.get(contrast.arm, ()),
            results.runs.get(contrast.minus, ()),
            comparison.metric(contrast.metric).key,
        )
        for contrast in comparison.contrasts
    }


def contrast_name(results: Results, contrast: Contrast) -> str:
    """Return "one arm − another"."""
    lines = results.comparison.lines
    return f"{lines[contrast.arm].title} − {lines[contrast.minus].title}"


def contrast_rows(results: Results) -> list[Row]:
    """Return a row a contrast, with its p value corrected for the number of contrasts."""
    found = contrast_differences(results)
    tested = {contrast: known.p for contrast, known in found.items() if known and known.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    rows: list[Row] = []
    for contrast, known in found.items():
        empty = dict.fromkeys(_cells(Difference(0, {}, None, None, False)), "—") | {"difference": "not run"}
        p = corrected.get(contrast)
        rows.append(
            {
                "contrast": contrast_name(results, contrast),
                "metric": contrast.metric,
                **(empty if known is None else _cells(known)),
                "p (Holm)": "—" if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001",
                "asked": contrast.claim or "—",
            }
        )
    return rows


def contrast_note(results: Results) -> str:
    """Return what a reader of the contrasts has to know."""
    return (
        "Fixed before anything was run. Two-sided p of the paired draws over the test patients, corrected "
        f"for {len(results.comparison.contrasts)} contrasts (Holm 1979). It does not count how much seeds "
        "differ: the interval over patients and seeds does."
    )
