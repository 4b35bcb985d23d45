"""Tables and bars from a run's summary: functions of the ``summary.json`` document alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from callbacks.drawing.pictures import ConceptBars
from callbacks.run.table import Table

DASH = (
    "–: not measured, because too few samples have the concept or too few are without it (`absent_classes`)."
)
_SHARES = {"accuracy": "accuracy", "majority": "accuracy of always guessing the most frequent class"}

Summary = Mapping[str, Any]
"""Flat ``"<stage>/<callback>/<name>": number`` and ``"details"``, see `RunSummary`."""


def notes(summary: Summary) -> list[str]:
    """Return what readers of the tables have to know first: time cut the fit, no checkpoint was loaded."""
    details = summary.get("details", {})
    said = [details.get("fit/run", {}).get("stopped")]
    said += [details.get(f"{function}/run", {}).get("weights") for function in ("validate", "test")]
    return [note for note in said if note]


def concept_table(summary: Summary, stage: str) -> Table | None:
    """Return AUROC of each concept by each method, with intervals and counts, then every mean; None without.

    A method is a callback with figures named ``auroc/<concept>``; what it left out shows as a dash, and
    concepts without any label are not shown. Further sources of the stage are further columns: first their
    positives, then each method. A mean over other concepts than its row says tells over how many.
    """
    methods = methods_of(summary, stage)
    if not methods:
        return None
    sources: dict[str, dict[str, Any]] = {}
    for method in methods:
        sources.setdefault(_source(method), _details(summary, stage, method))
    counts, supervised = sources[_source(methods[0])], _supervised(summary, stage)

    def row(label: str, figure: str, concept: str = "", best: float | None = None) -> list[str]:
        cells = [label]
        for source, counted in sources.items():
            cells.append(str(counted.get("positives", {}).get(concept, "–")) if concept else "")
            own = [method for method in methods if _source(method) == source]
            other = "" if concept or source == _source(methods[0]) else _other_mean(figure, counts, counted)
            cells += [_cell(summary, stage, method, figure) + other for method in own]
        return [*cells, "–" if best is None else f"{best:.3f}"] if supervised else cells

    shown = [
        name for name in counts.get("positives", {}) if any(_labelled(c, name) for c in sources.values())
    ]
    rows = [row(name, f"auroc/{name}", name, supervised.get(name)) for name in shown]
    judged = _judged(counts)
    whole = bool(judged) and all(name in supervised for name in judged)
    mean = sum(supervised[name] for name in judged) / len(judged) if whole else None
    rows.append(row(f"mean of {len(judged)}", "auroc_macro", best=mean))
    rows += [row(label, figure) for label, figure in _means(summary, stage, methods, counts)]
    columns = ["concept"]
    for source in sources:
        columns.append(f"{source}: positive" if source else "positive")
        columns += [_column(method) for method in methods if _source(method) == source]
    n = ", ".join(str(c.get("n", "?")) + (f" ({source})" if source else "") for source, c in sources.items())
    heading = f"{stage}: AUROC with 95 % intervals, n = {n}"
    columns += [_supervised_heading(summary, stage)] if supervised else []
    return Table(heading, columns, rows, _dashes(rows, DASH))


def strata_table(summary: Summary, stage: str) -> Table | None:
    """Return AUROC of each concept within each stratum, by each method; None without strata."""
    methods = methods_of(summary, stage)
    counts = _details(summary, stage, methods[0]) if methods else {}
    strata: Mapping[str, Any] = counts.get("strata", {})
    if not strata:
        return None
    rows = []
    for name in counts.get("positives", {}):
        cells = [name]
        for stratum, counted in strata.items():
            cells.append(str(counted.get("positives", {}).get(name, "–")))
            cells += [_cell(summary, stage, method, f"{stratum}/auroc/{name}") for method in methods]
        if any("." in cell for cell in cells[1:]):
            rows.append(cells)
    columns = ["concept"]
    for stratum in strata:
        columns += [f"{stratum}: positive", *(f"{stratum}: {_column(method)}" for method in methods)]
    return Table(f"{stage}: AUROC within strata", columns, rows, _dashes(rows, DASH)) if rows else None


def _dashes(rows: Sequence[Sequence[str]], meaning: str) -> str:
    return meaning if any("–" in row for row in rows) else ""


def _supervised(summary: Summary, stage: str) -> Mapping[str, float]:
    found: Mapping[str, float] = _details(summary, stage, "supervised").get("auroc", {})
    return found


def _supervised_heading(summary: Summary, stage: str) -> str:
    """Return the heading with the budget: a figure of few looks is no upper bound."""
    looks = _details(summary, stage, "supervised").get("looks")
    return "supervised" if looks is None else f"supervised, {looks / 1000:.0f}k looks"


def _labelled(counts: Mapping[str, Any], name: str) -> bool:
    return bool(counts.get("positives", {}).get(name) or counts.get("negatives", {}).get(name))


def _source(method: str) -> str:
    """Return the source in the name of a callback's figures: empty for the first."""
    return method.partition("@")[2]


def _column(method: str) -> str:
    name, _, source = method.partition("@")
    return f"{source}: {name.replace('_', ' ')}" if source else name.replace("_", " ")


def _other_mean(figure: str, counts: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """Over how many concepts another source's mean is, where it is over others than the first one's."""
    same = figure != "auroc_macro" or _judged(counts) == _judged(others)
    return "" if same else f" (of {len(_judged(others))})"


def _judged(counts: Mapping[str, Any]) -> list[str]:
    """Return the concepts over which means are taken."""
    return [name for name in counts.get("positives", {}) if name not in counts.get("absent_classes", {})]


def _means(
    summary: Summary, stage: str, methods: Sequence[str], counts: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Label and name of every further mean: of subsets and floors, gains over floors, then within strata.

    Where the two views are averaged over the same concepts, their means over all that each has are left out.
    """
    strata = list(counts.get("strata", {}))
    names = {name for method in methods for name in _figures(summary, stage, method)}
    compared = [name for name in names if name.endswith("/auroc_macro_both_views")]
    chosen = []
    for name in names - {"auroc_macro"} - {name.removesuffix("_both_views") for name in compared}:
        *where, last = name.split("/")
        stratum = where[0] if where and where[0] in strata else ""
        inner = where[1:] if stratum else where
        if last == "auroc_macro":
            count = f" of {len(_judged(counts['strata'][stratum]))}" if stratum and not inner else ""
            label = f"mean{count}" + "".join(f", {part.replace('_', ' ')}" for part in inner)
        elif last == "auroc_macro_findings":
            label = (
                f"mean of {len(counts['findings'])} distinct findings" if not stratum else "mean of findings"
            )
        elif last == "auroc_macro_both_views":
            label = f"mean of the same {len(counts['both_views'])}"
        elif last in _SHARES and not stratum:
            label = "".join(f"{part.replace('_', ' ')}: " for part in inner) + _SHARES[last]
        elif last.startswith("minus_"):
            label = f"gain over {last.removeprefix('minus_').replace('_', ' ')}"
        else:
            continue
        order = (
            strata.index(stratum) if stratum else -1,
            last == "auroc_macro_both_views",
            last[:5] != "auroc",
            name,
        )
        chosen.append((order, f"{stratum}: {label}" if stratum else label, name))
    return [(label, name) for _, label, name in sorted(chosen)]


def figure_table(summary: Summary, stage: str) -> Table | None:
    """Return all figures of the other callbacks, a column a source; None if there are none."""
    named = {key.split("/")[1] for key in summary if key.startswith(f"{stage}/") and key.count("/") >= 2}
    others = sorted(named - set(methods_of(summary, stage)))
    sources = sorted({_source(callback) for callback in others})
    rows = [
        [
            f"{callback}/{figure}",
            *(_cell(summary, stage, _at(callback, source), figure) for source in sources),
        ]
        for callback in dict.fromkeys(name.partition("@")[0] for name in others)
        for figure in sorted(
            {f for source in sources for f in _figures(summary, stage, _at(callback, source))}, key=_naturally
        )
    ]
    rows += [
        [key.split("/")[1], _number(summary[key]), *[""] * (len(sources) - 1)]
        for key in sorted(summary)
        if key.startswith(f"{stage}/") and key.count("/") == 1  # val/loss
    ]
    columns = ["figure", *([source or "value" for source in sources] or ["value"])]
    note = _dashes(rows, "–: not measured on these data.")
    return Table(f"{stage}: other figures", columns, rows, note) if rows else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _at(callback: str, source: str) -> str:
    return f"{callback}@{source}" if source else callback


def bars(summary: Summary, stage: str) -> dict[str, ConceptBars]:
    """Return AUROC of each concept by each method, as `pictures.concept_bars` takes it."""
    found = {}
    for method in methods_of(summary, stage):
        details, figures = _details(summary, stage, method), _figures(summary, stage, method)
        intervals, names = details.get("intervals", {}), details.get("positives", {})  # in label order
        value = {name: figures[f"auroc/{name}"] for name in names if f"auroc/{name}" in figures}
        interval = {name: intervals[f"auroc/{name}"] for name in value if f"auroc/{name}" in intervals}
        found[method] = ConceptBars(value, interval)
    return found


def stages_of(summary: Summary) -> list[str]:
    """Return the evaluated stages, ``val`` before ``test``."""
    return [stage for stage in ("val", "test") if any(key.startswith(f"{stage}/") for key in summary)]


def methods_of(summary: Summary, stage: str) -> list[str]:
    """Return the callbacks with an AUROC a concept, zero-shot before probes, each source after the first."""
    names = {
        key.split("/")[1]
        for key in summary
        if key.startswith(f"{stage}/") and key.split("/")[2:3] == ["auroc"]
    }
    sources = sorted({_source(name) for name in names})
    return sorted(
        sorted(names, key=lambda name: sources.index(_source(name))),
        key=lambda name: name.partition("@")[0],
        reverse=True,
    )


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
