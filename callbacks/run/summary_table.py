"""Tables and bars from a run's summary: functions of the ``summary.json`` document alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from callbacks.drawing.pictures import ConceptBars

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Summary = Mapping[str, Any]
"""Flat ``"<stage>/<callback>/<name>": number`` and ``"details"``, see `RunSummary`."""


@dataclass(frozen=True)
class Table:
    """A heading, column names and rows of text; the first column is left-aligned, the others right."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as GitHub Markdown."""
        lines = [self.columns, [":--", *["--:"] * (len(self.columns) - 1)], *self.rows]
        return f"**{self.heading}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def rich(self) -> RichTable:
        """The table for the terminal."""
        from rich.table import Table as RichTable

        table = RichTable(title=self.heading, title_justify="left", row_styles=["", "dim"])
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="right" if i else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table


def concept_table(summary: Summary, stage: str) -> Table | None:
    """AUROC of each concept by each method, with intervals and counts, then every mean; None without any.

    A method is a callback with figures named ``auroc/<concept>``; what it left out shows as a dash, and
    concepts without any label are not shown.
    """
    methods = methods_of(summary, stage)
    if not methods:
        return None
    counts, ceiling = (
        _details(summary, stage, methods[0]),
        _details(summary, stage, "ceiling").get("auroc", {}),
    )

    def row(label: str, positive: str, figure: str, best: float | None = None) -> list[str]:
        cells = [label, positive, *(_cell(summary, stage, method, figure) for method in methods)]
        return [*cells, "–" if best is None else f"{best:.3f}"] if ceiling else cells

    positives: Mapping[str, int] = counts.get("positives", {})
    labelled = {name: n for name, n in positives.items() if n or counts.get("negatives", {}).get(name)}
    rows = [row(name, str(n), f"auroc/{name}", ceiling.get(name)) for name, n in labelled.items()]
    judged = _judged(counts)
    whole = bool(judged) and all(name in ceiling for name in judged)
    mean = sum(ceiling[name] for name in judged) / len(judged) if whole else None
    rows.append(row(f"mean of {len(judged)}", "", "auroc_macro", mean))
    rows += [row(label, "", figure) for label, figure in _means(summary, stage, methods, counts)]
    columns = ["concept", "positive", *(method.replace("_", " ") for method in methods)]
    heading = f"{stage}: AUROC with 95 % intervals, n = {counts.get('n', '?')}"
    return Table(heading, [*columns, "ceiling"] if ceiling else columns, rows)


def _judged(counts: Mapping[str, Any]) -> list[str]:
    """The concepts that means are taken over."""
    return [name for name in counts.get("positives", {}) if name not in counts.get("absent_classes", {})]


def _means(
    summary: Summary, stage: str, methods: Sequence[str], counts: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Label and name of every further mean: of subsets and floors, gains over floors, then within strata."""
    strata = list(counts.get("strata", {}))
    names = {name for method in methods for name in _figures(summary, stage, method)}
    chosen = []
    for name in names - {"auroc_macro"}:
        *where, last = name.split("/")
        stratum = where[0] if where and where[0] in strata else ""
        inner = where[1:] if stratum else where
        if last == "auroc_macro":
            count = f" of {len(_judged(counts['strata'][stratum]))}" if stratum and not inner else ""
            label = f"mean{count}" + "".join(f", {part.replace('_', ' ')}" for part in inner)
        elif last.startswith("minus_"):
            label = f"gain over {last.removeprefix('minus_').replace('_', ' ')}"
        else:
            continue
        order = (strata.index(stratum) if stratum else -1, last != "auroc_macro", name)
        chosen.append((order, f"{stratum}: {label}" if stratum else label, name))
    return [(label, name) for _, label, name in sorted(chosen)]


def figure_table(summary: Summary, stage: str) -> Table | None:
    """All figures of the other callbacks; None if there are none."""
    named = {key.split("/")[1] for key in summary if key.startswith(f"{stage}/") and key.count("/") >= 2}
    callbacks = sorted(named - set(methods_of(summary, stage)))
    rows = [
        [f"{callback}/{figure}", _cell(summary, stage, callback, figure)]
        for callback in callbacks
        for figure in sorted(_figures(summary, stage, callback), key=_naturally)
    ]
    return Table(f"{stage}: other figures", ["figure", "value"], rows) if rows else None


def bars(summary: Summary, stage: str) -> dict[str, ConceptBars]:
    """AUROC of each concept by each method, as `pictures.concept_bars` takes it."""
    found = {}
    for method in methods_of(summary, stage):
        details, figures = _details(summary, stage, method), _figures(summary, stage, method)
        intervals, names = details.get("intervals", {}), details.get("positives", {})  # in label order
        value = {name: figures[f"auroc/{name}"] for name in names if f"auroc/{name}" in figures}
        interval = {name: intervals[f"auroc/{name}"] for name in value if f"auroc/{name}" in intervals}
        found[method] = ConceptBars(value, interval)
    return found


def stages_of(summary: Summary) -> list[str]:
    """The evaluated stages, ``val`` before ``test``."""
    return [stage for stage in ("val", "test") if any(key.startswith(f"{stage}/") for key in summary)]


def methods_of(summary: Summary, stage: str) -> list[str]:
    """Callbacks with an AUROC a concept, zero-shot before probes."""
    names = {
        key.split("/")[1]
        for key in summary
        if key.startswith(f"{stage}/") and key.split("/")[2:3] == ["auroc"]
    }
    return sorted(names, reverse=True)


def _naturally(name: str) -> list[str]:
    """Sort key that puts hit@5 before hit@10."""
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _figures(summary: Summary, stage: str, callback: str) -> dict[str, float]:
    prefix = f"{stage}/{callback}/"
    return {
        key.removeprefix(prefix): v for key, v in summary.items() if key.startswith(prefix) and v is not None
    }


def _details(summary: Summary, stage: str, callback: str) -> dict[str, Any]:
    found: dict[str, Any] = summary.get("details", {}).get(f"{stage}/{callback}", {})
    return found


def _cell(summary: Summary, stage: str, callback: str, figure: str) -> str:
    value = summary.get(f"{stage}/{callback}/{figure}")
    if value is None:
        return "–"
    interval = _details(summary, stage, callback).get("intervals", {}).get(figure)
    text = f"{value:.1f}" if "median_rank" in figure else f"{value:.3f}"
    return text if interval is None else f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]"
