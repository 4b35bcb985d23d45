"""Results tables in three forms: Markdown for the README, CSV for programs, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from synthesis.files import write_atomically

Row = Mapping[str, str | float]

_LATEX = {"±": r"$\pm$", "→": r"$\to$", "–": "--", "−": "$-$", "×": r"$\times$", "≥": r"$\ge$"}


def write_table(rows: Sequence[Row], stem: Path, note: str) -> str:
    """Write ``stem.md``, ``stem.csv`` and ``stem.tex`` and return the Markdown.

    Args:
        rows: One mapping of column to value a line; the columns are the keys of the first, in its order.
        stem: Path without a suffix; its directory is made.
        note: What a reader has to know, printed under the Markdown and as a comment over the LaTeX.

    Raises:
        ValueError: If there are no rows, or a row has other columns than the first.
    """
    import pandas

    if not rows:
        raise ValueError(f"no rows for {stem}: nothing has finished")
    columns = list(rows[0])
    for number, row in enumerate(rows):
        if list(row) != columns:
            raise ValueError(f"row {number} of {stem} has columns {list(row)}, the first has {columns}")
    frame = pandas.DataFrame(list(rows), columns=columns, dtype=object)
    cells = frame.map(_text)
    text = f"{_markdown(columns, cells.values.tolist())}\n{note}\n"
    write_atomically(stem.with_suffix(".md"), text)
    write_atomically(stem.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n"))
    latex = cells.to_latex(index=False, escape=True, column_format="l" + "c" * (len(columns) - 1))
    for sign, command in _LATEX.items():
        latex = latex.replace(sign, command)
    comment = "\n".join(f"% {line}" for line in note.splitlines())
    write_atomically(stem.with_suffix(".tex"), f"{comment}\n{latex}")
    return text


def _text(value: str | float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _markdown(columns: list[str], cells: list[list[str]]) -> str:
    """Return a table without padding: pandas' own wants another package, and leaves | in cells as it is."""
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
