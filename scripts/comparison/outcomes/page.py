"""The results of a comparison as one HTML file that needs nothing else: ``report.html``."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.comparison.outcomes.drawing import Drawing
from scripts.comparison.outcomes.results import Results
from synthesis.files import write_atomically

PAGE = "report.html"
"""Name of the file in the directory of results."""

FIRST = ("verdicts", "table", "contrasts", "power", "scaling_law", "scaling", "differences")
"""Tables in this order; those that measures write come after them."""

_TITLES = {
    "table": "Arms",
    "power": "What could have been shown",
    "differences": "Differences from the reference",
}
_BESIDE = {"table": "forest", "scaling_law": "scaling"}
"""Table → the drawing that stands below it."""

_NUMBER = re.compile(r"[+\-−]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?")
_LONG = 26  # characters from which on a cell breaks into lines


@dataclass(frozen=True)
class PageCell:
    """A cell of a table.

    Attributes:
        text: What it shows …
        interval: … and its interval, in a line of its own.
        told: What it says where the mouse is: row, column and all that is known of the figure.
        sorted: By what the column is sorted: a number, or a text.
        kind: Its class in the style sheet.
    """

    text: str
    interval: str
    told: str
    sorted: str
    kind: str


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        name: Of its files, without a suffix.
        title: Line above it.
        columns: Headings.
        rows: Cells.
        note: Paragraphs below it.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[PageCell]]
    note: Sequence[str]


def write_page(results: Results, drawings: Sequence[Drawing], out: Path) -> Path:
    """Write the page of all tables and pictures in a directory of results, and return its path.

    Tables are the CSV files that have a Markdown file beside them, their notes are those of the Markdown: the
    page says what the files say. In the table of arms a cell tells the plain numbers of ``summary.csv``.

    Args:
        results: Of the comparison.
        drawings: Pictures that say their values; they stand for the PNG files of their names.
        out: The directory of results.
    """
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = [drawing.name for drawing in drawings]
    pictures = [_drawn(drawing) for drawing in drawings]
    pictures += [_picture(path) for path in sorted(out.glob("*.png")) if path.stem not in drawn]
    tables = page_tables(out, plain_numbers(results))
    text = environment.get_template("page.html.j2").render(
        title=results.comparison.title,
        question=results.comparison.question,
        about=[line for table in tables if table.name == "table" for line in table.note],
        missing=results.missing,
        tables=tables,
        pictures=pictures,
        beside=_BESIDE,
    )
    write_atomically(out / PAGE, text)
    return out / PAGE


def plain_numbers(results: Results) -> dict[tuple[str, str], str]:
    """Return what a cell of the table of arms tells: title of the arm and column → its plain numbers."""
    told = {}
    for name, columns in results.summaries.items():
        for column, found in columns.items():
            known = {"mean": found.mean, "sd": found.deviation, "low": found.low, "high": found.high}
            parts = [f"{word} {value}" for word, value in known.items() if value is not None]
            parts += [f"seeds {found.count}"]
            told[results.comparison.lines[name].title, column] = ", ".join(parts)
    return told


def page_tables(out: Path, plain: Mapping[tuple[str, str], str]) -> list[PageTable]:
    """Read the tables of a directory of results, in the order of the page.

    Args:
        out: The directory.
        plain: What cells of the table of arms tell: see `plain_numbers`.
    """
    found = {path.stem: path for path in out.glob("*.csv") if path.with_suffix(".md").is_file()}
    names = [name for name in FIRST if name in found] + sorted(found.keys() - set(FIRST))
    return [_table(name, found[name], plain if name == "table" else {}) for name in names]


def _table(name: str, path: Path, plain: Mapping[tuple[str, str], str]) -> PageTable:
    with path.open(newline="") as file:
        columns, *lines = csv.reader(file)
    rows = []
    for line in lines:
        cells = [_cell("", column, text, "") for column, text in zip(columns, line, strict=True)]
        for place in range(1, len(line)):
            told = plain.get((line[0], columns[place]), line[place])
            cells[place] = _cell(line[0], columns[place], line[place], told)
        rows.append(cells)
    lines_below = path.with_suffix(".md").read_text().splitlines()
    note = [text for text in lines_below if text.strip() and not text.startswith("|")]
    note = [text.partition(" Missing: ")[0] for text in note]  # the page has a list of it
    title = _TITLES.get(name, name.replace("_", " ").capitalize())
    return PageTable(name, title, columns, rows, note)


def _cell(row: str, column: str, text: str, told: str) -> PageCell:
    before, bracket, rest = text.partition(" [")
    whole = not bracket or not rest.endswith("]") or len(before) > _LONG
    number = _NUMBER.match(text.lstrip("×∞< "))
    kinds = ["long" if len(text) > _LONG and whole else "short"]
    if text.split(" ")[0] in ("holds", "fails", "undecided") and len(text) < _LONG:
        kinds.append(text.split(" ")[0])
    return PageCell(
        text if whole else before,
        "" if whole else bracket.strip() + rest,
        f"{row} · {column}: {told}" if row else "",
        number[0].replace(",", "").replace("−", "-") if number and "long" not in kinds else text.lower(),
        " ".join(kinds),
    )


def _drawn(drawing: Drawing) -> dict[str, Any]:
    return {"name": drawing.name, "title": _words(drawing.name), "svg": drawing.svg()}


def _picture(path: Path) -> dict[str, Any]:
    """Return a picture as a data URL: WebP, which is a third of the PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "WEBP", quality=85)
        width, height = picture.size
    address = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    title = _words(path.stem)
    return {"name": path.stem, "title": title, "address": address, "width": width, "height": height}


def _words(stem: str) -> str:
    return {"forest": "Forest plot", "scaling": "Scaling curve"}.get(
        stem, stem.replace("_", " ").capitalize()
    )
