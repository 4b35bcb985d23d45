"""The report of a run as one HTML file that needs nothing else: ``summary.html``."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callbacks.base.files import written_whole
from callbacks.run.summary_rows import figure_rows
from callbacks.run.summary_table import Summary, methods_of, notes, stages_of

REPORT = "summary.html"
"""Name of the file in the run directory."""

HEADLINES = {
    "auroc_macro": "AUROC, mean of concepts",
    "accuracy_macro": "accuracy, mean of classes",
    "accuracy": "accuracy",
    "majority": "accuracy of the most frequent class",
    "language_prior": "accuracy of the words alone",
    "t2i_accuracy": "accuracy, report → image",
    "dice_macro": "Dice, mean of findings",
    "false_alarm_macro": "false alarms, mean of findings",
    "map": "average precision (COCO)",
    "map50": "average precision at IoU 0.5",
    "pointing": "pointing game",
    "pointing_prior": "pointing game of a fixed place",
    "entity_f1": "entity F1",
    "entity_f1_shuffled": "entity F1 of others' reports",
    "rouge_l": "ROUGE-L",
    "i2t_hit@10": "image → report, R@10",
    "t2i_hit@10": "report → image, R@10",
}
"""What stands on top of a stage, in this order, as far as it was measured: figure → words."""

_CURVES = {
    "loss": ("train/loss", "val/loss"),
    "AUROC, mean over concepts": ("val/*/auroc_macro",),
    "retrieval": ("val/retrieval/i2t_hit@10", "val/retrieval/t2i_hit@10"),
    "accuracy": ("val/*/accuracy", "val/*/accuracy_macro"),
    "gradient norm": ("train/gradient_norm",),
}
_COLOURS = ("#2563b5", "#c2571a", "#2b8a4b", "#a83279", "#6b5bd2", "#8a6d00")
_WIDTH, _HEIGHT, _MARGIN = 560, 240, 44


@dataclass(frozen=True)
class Line:
    """One curve as it is drawn.

    Attributes:
        name: The figure's.
        colour: Of the line.
        points: For an SVG polyline.
        last: The last value.
    """

    name: str
    colour: str
    points: str
    last: float


@dataclass(frozen=True)
class Panel:
    """A chart of curves.

    Attributes:
        title: Line above it.
        lines: What is on it.
        ticks: Height in the drawing and label of the grid's lines.
        steps: First and last step.
    """

    title: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    steps: tuple[int, int]


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes:
        caption: Line above it.
        address: Data URL, as WebP: a third of the PNG.
        width: In pixels.
        height: In pixels.
    """

    caption: str
    address: str
    width: int
    height: int


def write_report(directory: Path) -> Path:
    """Write the report of a run from the files in its directory, and return its path.

    It shows figures with their intervals, curves, concepts, what is in ``pictures/`` (of several epochs the
    last), the configuration and the environment. Every figure of the summary is in it, in full as
    ``data-value`` of its cell. There are no scripts, and nothing is loaded from anywhere.

    Args:
        directory: With ``summary.json``; ``metrics.csv``, ``config.yaml`` and pictures as far as there are.
    """
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    config = directory / "config.yaml"
    text = environment.get_template("html_report.html.j2").render(
        name="/".join(directory.absolute().parts[-2:]),
        stages=[_stage(summary, stage) for stage in stages_of(summary)],
        notes=notes(summary),
        panels=panels(_metrics(directory / "metrics.csv")),
        size={"width": _WIDTH, "height": _HEIGHT, "margin": _MARGIN},
        pictures=[picture_of(path) for path in _pictures(directory)],
        config=config.read_text() if config.is_file() else None,
        environment={key: value for key, value in summary.get("details", {}).items() if key.endswith("/run")},
    )
    with written_whole(directory / REPORT) as partial:
        partial.write_text(text, encoding="utf-8")
    return directory / REPORT


def _stage(summary: Summary, stage: str) -> dict[str, Any]:
    """Return what the template shows of a stage."""
    methods = methods_of(summary, stage)
    details = summary.get("details", {})
    columns, rows = figure_rows(summary, stage)
    figures = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in figures:
        row["key"] = "/".join(filter(None, (stage, row["callback"], row["figure"])))
    by_name = {(row["callback"], row["figure"]): row for row in figures}
    top = [
        row | {"words": words}
        for name, words in HEADLINES.items()
        for row in figures
        if row["figure"] == name and row["value"] is not None
    ]
    supervised = details.get(f"{stage}/supervised", {}).get("auroc", {})
    concepts = list(
        dict.fromkeys(name for m in methods for name in details.get(f"{stage}/{m}", {}).get("positives", {}))
    )
    table = []
    for concept in concepts:
        cells = [by_name.get((method, f"auroc/{concept}")) for method in methods]
        positive = details.get(f"{stage}/{methods[0]}", {}).get("positives", {}).get(concept)
        if any(cells):
            best = supervised.get(concept)
            words = concept.replace("_", " ")
            table.append({"name": words, "positive": positive, "cells": cells, "supervised": best})
    if table:
        means = [by_name.get((method, "auroc_macro")) for method in methods]
        table.append({"name": "mean", "positive": None, "cells": means, "supervised": None})
    shown = {id(cell) for row in table for cell in row["cells"] if cell}
    return {
        "name": stage,
        "top": top[:8],
        "methods": methods,
        "concepts": table,
        "supervised": bool(supervised),
        "remarks": [
            (name.removeprefix(f"{stage}/").replace("_", " "), told["note"])
            for name, told in details.items()
            if name.startswith(f"{stage}/") and "note" in told
        ],
        "others": [row for row in figures if id(row) not in shown],
    }


def panels(metrics: Mapping[str, Sequence[tuple[int, float]]]) -> list[Panel]:
    """Sort curves into charts; charts without a curve are left out.

    Args:
        metrics: Figure → points ``(step, value)``.
    """
    drawn = []
    for title, patterns in _CURVES.items():
        matching = [re.compile(re.escape(pattern).replace(r"\*", "[^/]+")) for pattern in patterns]
        chosen = {n: metrics[n] for n in metrics if any(m.fullmatch(n) for m in matching) and metrics[n]}
        if chosen:
            drawn.append(_panel(title, chosen))
    return drawn


def _panel(title: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> Panel:
    steps = [step for curve in curves.values() for step, _ in curve]
    values = [value for curve in curves.values() for _, value in curve]
    left, right, low, high = min(steps), max(steps), min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5
    span = high - low

    def x(step: float) -> float:
        return _MARGIN + (_WIDTH - _MARGIN - 10) * (step - left) / ((right - left) or 1)

    def y(value: float) -> float:
        return 10 + (_HEIGHT - 34) * (1 - (value - low) / span)

    lines = [
        Line(name, colour, " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in curve), curve[-1][1])
        for (name, curve), colour in zip(curves.items(), _COLOURS * len(curves), strict=False)
    ]
    ticks = [(y(low + span * share), f"{low + span * share:.3g}") for share in (0, 0.5, 1)]
    return Panel(title, lines, ticks, (left, right))


def _metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read ``metrics.csv``: figure → points. Of thousands of steps some hundred are kept."""
    curves: dict[str, list[tuple[int, float]]] = {}
    if path.is_file():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name not in ("step", "epoch") and value not in ("nan", "inf", "-inf"):
                        curves.setdefault(name, []).append((int(row["step"]), float(value)))
    return {name: curve[:: max(1, len(curve) // 400)] for name, curve in curves.items()}


def _pictures(directory: Path) -> list[Path]:
    """Return the pictures of a run; of those with a number the last."""
    last: dict[str, Path] = {}
    for path in sorted(directory.glob("pictures/*.png")):
        last[re.sub(r"_\d+$", "", path.stem)] = path
    last.pop("curves", None)  # drawn here from metrics.csv
    return list(last.values())


def picture_of(path: Path) -> Picture:
    """Return a picture with what its name says: ``val_retrieval_003`` is "val: retrieval, epoch 3"."""
    from PIL import Image

    stage, _, name = path.stem.partition("_")
    name, _, epoch = name.rpartition("_") if re.search(r"_\d+$", name) else (name, "", "")
    caption = f"{stage}: {name.replace('_', ' ')}" + (f", epoch {int(epoch)}" if epoch else "")
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "WEBP", quality=88)
        address = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
        return Picture(caption, address, *picture.size)
