"""Reports to choose from: those of a table or a text file, or simulated ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthesis.concepts import ConceptCatalog


@dataclass(frozen=True)
class ReportBank:
    """Reports that an image can be compared with, read when they are asked for.

    Attributes:
        source: A table (CSV, Parquet) with a column of reports; a text file with a report a line; or
            ``simulated``, for reports of the grammar.
        column: The column of the table; None takes a usual one (report, or findings and impression).
        most: Of more reports the first so many are taken: each costs a few hundred bytes, and a little time
            once.
    """

    source: str
    column: str | None = None
    most: int = 100_000

    def __post_init__(self) -> None:
        """Refuse a number that makes no sense."""
        if self.most < 1:
            raise ValueError(f"reports.most={self.most}: give 1 or more.")

    def read(self, catalog: ConceptCatalog) -> list[str]:
        """Return the reports, in their order, each text once.

        Args:
            catalog: What simulated reports are about.

        Raises:
            TableError: If the table cannot be read, or no column of it holds reports.
            MissingFileError: If the file is missing.
        """
        from datamodules.tables.image_listing import TABLES

        if self.source == "simulated":
            texts = _simulated(catalog, min(self.most, 2_000))
        elif self.source.lower().endswith(TABLES):
            texts = self._of_table(Path(self.source))
        else:
            texts = self._of_lines(Path(self.source))
        return list(dict.fromkeys(text for text in texts if text))[: self.most]

    def _of_lines(self, path: Path) -> list[str]:
        from datamodules.tables.table_error import MissingFileError, TableError

        if not path.is_file():
            raise MissingFileError(
                f"reports: {path}: no such file; give a table, a text file with a report a line, or "
                "simulated."
            )
        try:
            lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise TableError(
                f"{path}: is no text in UTF-8 ({error}); give a table or a text file."
            ) from error
        if not any(lines):
            raise TableError(f"{path}: is empty; write a report a line.")
        return lines

    def _of_table(self, path: Path) -> list[str]:
        from datamodules.tables.column_names import find_column
        from datamodules.tables.table import read_frame, select
        from datamodules.tables.table_error import TableError

        frame = read_frame(path)
        columns = [str(name) for name in frame.columns]
        if self.column is not None:
            chosen = [self.column]
        elif whole := find_column("report", columns):
            chosen = [whole]
        else:
            sections = [find_column(meaning, columns) for meaning in ("findings", "impression")]
            chosen = [name for name in sections if name]
        if not chosen:
            raise TableError(f"{path}: which column holds the reports? It has {columns}; name it.")
        rows = select(frame, path, chosen)
        if not (rows != "").any(axis=None):
            raise TableError(
                f"{path}: {', '.join(map(repr, chosen))} is empty in every row; name another column."
            )
        return [" ".join(part for part in row if part) for row in rows.itertuples(index=False)]


def _simulated(catalog: ConceptCatalog, count: int) -> list[str]:
    """Return the reports of so many cases in which each concept leads equally often."""
    from datamodules.texts.text_view import full_text
    from synthesis.cases import BalancedCaseSampler
    from synthesis.reports.grammar import GrammarWriter
    from synthesis.seeding import pair_seed

    sampler = BalancedCaseSampler(catalog=catalog.path)
    cases = [sampler.sample(0, "bank", i) for i in range(count)]
    reports = GrammarWriter(catalog=catalog.path).write(
        cases, [pair_seed(0, "bank", i) for i in range(count)]
    )
    return [full_text(report) for report in reports]
