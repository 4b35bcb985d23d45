"""The figures of a summary as rows of numbers, for loggers that sort and filter tables."""

from __future__ import annotations

from typing import Any

from callbacks.run.summary_table import Summary, methods_of

Rows = tuple[list[str], list[list[Any]]]
"""Column names and rows; None where there is no value."""


def concept_rows(summary: Summary, stage: str) -> Rows:
    """Return AUROC and average precision of each concept by each method, with 95 % intervals and counts."""
    columns = ["concept", "method", "n", "positive", "negative"]
    columns += [f"{measure}{end}" for measure in ("auroc", "ap") for end in ("", "_low", "_high")]
    rows: list[list[Any]] = []
    for method in methods_of(summary, stage):
        told = _details(summary, stage, method)
        for concept, positive in told.get("positives", {}).items():
            row = [concept, method, told.get("n"), positive, told.get("negatives", {}).get(concept)]
            for measure in ("auroc", "ap"):
                row += _with_interval(summary, stage, method, f"{measure}/{concept}")
            rows.append(row)
    return columns, rows


def figure_rows(summary: Summary, stage: str) -> Rows:
    """Return every figure of a stage with its interval and over how many samples it is."""
    rows: list[list[Any]] = []
    for key in summary:
        place, _, rest = key.partition("/")
        callback, slash, figure = rest.partition("/")
        if place == stage and slash:
            n = _details(summary, stage, callback).get("n")
            rows.append([callback, figure, *_with_interval(summary, stage, callback, figure), n])
        elif place == stage:  # val/loss
            rows.append(["", rest, summary[key], None, None, None])
    return ["callback", "figure", "value", "low", "high", "n"], rows


def _with_interval(summary: Summary, stage: str, callback: str, figure: str) -> list[Any]:
    interval = _details(summary, stage, callback).get("intervals", {}).get(figure, [None, None])
    return [summary.get(f"{stage}/{callback}/{figure}"), *interval]


def _details(summary: Summary, stage: str, callback: str) -> dict[str, Any]:
    found: dict[str, Any] = summary.get("details", {}).get(f"{stage}/{callback}", {})
    return found
