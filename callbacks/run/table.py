"""A table of text, for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """A heading, column names and rows of text; the first column is left-aligned, the others right.

    Attributes:
        heading: Line above.
        columns: Their names.
        rows: Cells.
        note: Line below; what a dash means by default, where there is one.
    """

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as GitHub Markdown."""
        lines = [self.columns, [":--", *["--:"] * (len(self.columns) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"**{self.heading}**", table, *([self.note] if self.note else [])]) + "\n"

    def rich(self) -> RichTable:
        """Return the table for the terminal."""
        from rich.table import Table as RichTable

        table = RichTable(title=self.heading, title_justify="left", row_styles=["", "dim"])
        table.caption, table.caption_justify = self.note or None, "left"
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="right" if i else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table
