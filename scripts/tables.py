"""Results tables in three forms: Markdown for the README, CSV for programs, LaTeX for papers."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str | float]

_LATEX = str.maketrans(
    {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "±": r"$\pm$", "→": r"$\to$", "–": "--"}
)


def write_table(rows: Sequence[Row], stem: Path, note: str) -> str:
    """Write ``stem.md``, ``stem.csv`` and ``stem.tex`` and return the Markdown.

    Args:
        rows: One mapping of column to value a line; the columns are the keys of the first, in its order.
        stem: Path without a suffix; its directory is made.
        note: What a reader has to know, printed under the Markdown and as a comment over the LaTeX.

    Raises:
        ValueError: If there are no rows, or a row has other columns than the first.
    """
    if not rows:
        raise ValueError(f"no rows for {stem}: nothing has finished")
    columns = list(rows[0])
    for number, row in enumerate(rows):
        if list(row) != columns:
            raise ValueError(f"row {number} of {stem} has columns {list(row)}, the first has {columns}")
    cells = [[_text(row[column]) for column in columns] for row in rows]
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = _markdown(columns, cells) + f"\n{note}\n"
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".tex").write_text(f"% {note}\n" + _latex(columns, cells))
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in rows)
    return text


def _text(value: str | float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _markdown(columns: list[str], cells: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _latex(columns: list[str], cells: list[list[str]]) -> str:
    def line(values: list[str]) -> str:
        return " & ".join(value.translate(_LATEX) for value in values) + r" \\" + "\n"

    body = "".join(line(values) for values in cells)
    return (
        rf"\begin{{tabular}}{{l{'c' * (len(columns) - 1)}}}"
        + f"\n\\hline\n{line(columns)}\\hline\n{body}\\hline\n\\end{{tabular}}\n"
    )
