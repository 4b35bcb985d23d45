"""From the labels of another data set to ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from datamodules.table import BadRow, TableError
from synthesis.concepts import ConceptCatalog

if TYPE_CHECKING:
    import pandas as pd

_Labels = npt.NDArray[np.float32]
_MEANING = {"present": 1.0, "absent": 0.0, "unknown": np.nan}


@dataclass(frozen=True)
class LabelColumns:
    """Where the labels of a table stand and how they are read.

    Attributes:
        columns: One column that lists the labels present, or one column for each label, named as the label,
            with 1 (present), 0 (absent), -1 (uncertain) or nothing.
        vocabulary: Name of the vocabulary in the concept catalogue: "nih", "chexpert", "padchest" … A concept
            that has no label in it is unknown (NaN) in every row, for its absence was never looked for.
        separator: Between the labels of a single column.
        uncertain: What -1 means.
        blank: What an empty cell means; None refuses it in a single column and takes it as unknown in one of
            many.
        unmapped: What to do with a label for which the catalogue has no concept.
    """

    columns: str | list[str]
    vocabulary: str
    separator: str = "|"
    uncertain: Literal["present", "absent", "unknown"] = "unknown"
    blank: Literal["absent", "unknown", "refuse"] | None = None
    unmapped: Literal["refuse", "ignore"] = "refuse"

    @property
    def names(self) -> tuple[str, ...]:
        """All columns named here."""
        return (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)


def read_labels(
    frame: pd.DataFrame, image: str, labels: LabelColumns, catalog: ConceptCatalog, table: Path
) -> tuple[_Labels, list[BadRow]]:
    """Read the labels of all rows.

    Args:
        frame: The table, as text.
        image: The column that names the image.
        labels: How the labels are read.
        catalog: The concepts.
        table: The file, for messages.

    Returns:
        float32 ``(row, concept)``: 1 present, 0 absent, NaN unknown; and the rows that could not be read.

    Raises:
        TableError: If the catalogue does not know the vocabulary, or a label of it.
    """
    known = [concept.name for concept in catalog if labels.vocabulary in concept.labels]
    if not known:
        vocabularies = sorted({vocabulary for concept in catalog for vocabulary in concept.labels})
        raise TableError(
            f"{catalog.path}: no vocabulary {labels.vocabulary!r}; it has {', '.join(vocabularies)}."
        )
    reader = _Reader(frame, image, labels, catalog, table)
    matrix = np.full((len(frame), len(catalog)), np.nan, np.float32)
    if isinstance(labels.columns, str):
        reader.read_list(matrix, [catalog.index(name) for name in known])
    else:
        reader.read_columns(matrix)
    return matrix, reader.bad


class _Reader:
    def __init__(
        self, frame: pd.DataFrame, image: str, labels: LabelColumns, catalog: ConceptCatalog, table: Path
    ) -> None:
        self.frame, self.image, self.labels, self.catalog, self.table = frame, image, labels, catalog, table
        self.bad: list[BadRow] = []

    def read_list(self, matrix: _Labels, known: list[int]) -> None:
        column = str(self.labels.columns)
        cells = [self._split(cell) for cell in self.frame[column]]
        positions = self._positions(Counter(label for cell in cells for label in cell))
        blank = self.labels.blank or "refuse"
        for i, cell in enumerate(cells):
            if cell:
                matrix[i, known] = 0
                matrix[i, [positions[label] for label in cell if label in positions]] = 1
            elif blank == "refuse":
                self._refuse(
                    i, column, "has no label; write one (such as that of a normal image), or set `blank`."
                )
            else:
                matrix[i, known] = _MEANING[blank]

    def read_columns(self, matrix: _Labels) -> None:
        positions = self._positions(Counter(dict.fromkeys(self.labels.names, len(self.frame))))
        meaning = {"1": 1.0, "0": 0.0, "-1": _MEANING[self.labels.uncertain]}
        for column, position in positions.items():
            for i, cell in enumerate(self.frame[column]):
                text = cell.removesuffix(".0")
                if text in meaning:
                    matrix[i, position] = np.fmax(matrix[i, position], meaning[text])
                elif not text and self.labels.blank != "refuse":
                    blank = _MEANING[self.labels.blank or "unknown"]
                    matrix[i, position] = np.fmax(matrix[i, position], blank)
                else:
                    self._refuse(
                        i, column, "is none of 1, 0, -1 and (unless `blank` is refuse) nothing; correct it."
                    )

    def _split(self, cell: str) -> list[str]:
        return [label.strip() for label in cell.split(self.labels.separator) if label.strip()]

    def _positions(self, counts: Counter[str]) -> dict[str, int]:
        """Return label → position of its concept; what the catalogue does not know is refused or left out."""
        concepts = {label: self.catalog.concept_for(self.labels.vocabulary, label) for label in counts}
        unknown = [label for label, concept in concepts.items() if concept is None]
        if unknown and self.labels.unmapped == "refuse":
            listed = ", ".join(f"{label!r} ({counts[label]:,} rows)" for label in unknown[:10])
            raise TableError(
                f"{self.table}, label columns {list(self.labels.names)}: the catalogue has no concept for "
                f"{listed} in vocabulary {self.labels.vocabulary!r} ({len(unknown)} such labels). Correct "
                f"the spelling, add them to {self.catalog.path}, or set unmapped: ignore."
            )
        return {label: self.catalog.index(concept.name) for label, concept in concepts.items() if concept}

    def _refuse(self, i: int, column: str, reason: str) -> None:
        cells: Any = self.frame.iloc[i]
        self.bad.append(BadRow(int(self.frame.index[i]), cells[self.image], column, cells[column], reason))
