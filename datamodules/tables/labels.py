"""From the labels of another data set to ours."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from datamodules.tables.bad_row import BadRow
from datamodules.tables.table_error import TableError
from synthesis.concepts import NO_FINDING, ConceptCatalog

if TYPE_CHECKING:
    import pandas as pd

_Labels = npt.NDArray[np.float32]
_MEANING = {"present": 1.0, "absent": 0.0, "unknown": np.nan}


@dataclass(frozen=True)
class LabelColumns:
    """Where the labels of a table stand and how they are read.

    Attributes:
        columns: One column that lists the labels present (separated, or as ``['one', 'other']``), or one
            column for each label, named as the label, with 1 (present), 0 (absent), -1 (uncertain), ? (not
            looked for) or nothing.
        vocabulary: Name of the vocabulary in the concept catalogue: "nih", "chexpert", "padchest" …; or label
            → concept, null where the catalogue has none. A concept that has no label in it is unknown (NaN)
            in every row, for its absence was never looked for.
        separator: Between the labels of a single column.
        uncertain: What -1 means.
        blank: What an empty cell means; None refuses it in a single column and takes it as unknown in one of
            many.
        unmapped: What to do with a label for which the catalogue has no concept.
        void: Labels of a single column that say nothing of the image, such as "unchanged": beside one, what
            is not named is unknown.
    """

    columns: str | list[str]
    vocabulary: str | Mapping[str, str | None]
    separator: str = "|"
    uncertain: Literal["present", "absent", "unknown"] = "unknown"
    blank: Literal["absent", "unknown", "refuse"] | None = None
    unmapped: Literal["refuse", "ignore"] = "refuse"
    void: list[str] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty separator.

        Raises:
            ValueError: If it is empty.
        """
        if not self.separator:
            raise ValueError("labels.separator='' is empty: give the character between labels, such as |")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns named here."""
        return (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)

    def concept(self, label: str, catalog: ConceptCatalog) -> str | None:
        """Return the concept that a label means, or None."""
        if isinstance(self.vocabulary, str):
            concept = catalog.concept_for(self.vocabulary, label)
            return concept.name if concept else None
        name = self.vocabulary.get(label)
        return name if name is None else catalog[name].name

    def concepts(self, catalog: ConceptCatalog) -> list[str]:
        """Return the concepts that are looked for, in label order.

        Raises:
            TableError: If the catalogue does not know the vocabulary.
        """
        if not isinstance(self.vocabulary, str):
            named = {catalog[name].name for name in self.vocabulary.values() if name is not None}
            return [name for name in catalog.names if name in named]
        known = [concept.name for concept in catalog if self.vocabulary in concept.labels]
        if not known:
            vocabularies = sorted({vocabulary for concept in catalog for vocabulary in concept.labels})
            raise TableError(
                f"{catalog.path}: no vocabulary {self.vocabulary!r}; give one of {', '.join(vocabularies)}."
            )
        return known

    def knows(self, label: str, catalog: ConceptCatalog) -> bool:
        """Return whether a label has a meaning, if only that of having no concept."""
        mapped = not isinstance(self.vocabulary, str) and label in self.vocabulary
        return mapped or label in (self.void or ()) or self.concept(label, catalog) is not None


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
        float32 ``(row, concept)``: 1 present, 0 absent, NaN unknown; and the rows that could not be read, and
        those that contradict themselves, which are kept: a finding outweighs "No Finding".

    Raises:
        TableError: If the catalogue does not know the vocabulary, or a label of it.
    """
    known = labels.concepts(catalog)
    reader = _Reader(frame, image, labels, catalog, table)
    matrix = np.full((len(frame), len(catalog)), np.nan, np.float32)
    if isinstance(labels.columns, str):
        reader.read_list(matrix, [catalog.index(name) for name in known])
    else:
        reader.read_columns(matrix)
    reader.settle_normality(matrix)
    return matrix, reader.bad


class _Reader:
    def __init__(
        self, frame: pd.DataFrame, image: str, labels: LabelColumns, catalog: ConceptCatalog, table: Path
    ) -> None:
        self.frame, self.image, self.labels, self.catalog, self.table = frame, image, labels, catalog, table
        self.bad: list[BadRow] = []

    def read_list(self, matrix: _Labels, known: list[int]) -> None:
        column = str(self.labels.columns)
        cells = [self._split(i, cell) for i, cell in enumerate(self.frame[column])]
        first: dict[str, int] = {}
        for i, cell in enumerate(cells):
            first |= {label: int(self.frame.index[i]) for label in cell or () if label not in first}
        positions = self._positions(Counter(label for cell in cells for label in cell or ()), first)
        blank, void = self.labels.blank or "refuse", frozenset(self.labels.void or ())
        for i, cell in enumerate(cells):
            if cell:
                matrix[i, known] = np.nan if void.intersection(cell) else 0
                matrix[i, [positions[label] for label in cell if label in positions]] = 1
            elif cell is None:
                self._refuse(i, column, "is no list of labels such as ['one', 'other']; correct it.")
            elif blank == "refuse":
                self._refuse(
                    i, column, "has no label; write one (such as that of a normal image), or set `blank`."
                )
            else:
                matrix[i, known] = _MEANING[blank]

    def read_columns(self, matrix: _Labels) -> None:
        positions = self._positions(Counter(dict.fromkeys(self.labels.names, len(self.frame))))
        meaning = {"1": 1.0, "0": 0.0, "?": np.nan, "-1": _MEANING[self.labels.uncertain]}
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
                        i,
                        column,
                        "is none of 1, 0, -1, ? and (unless `blank` is refuse) nothing; correct it.",
                    )

    def settle_normality(self, matrix: _Labels) -> None:
        """Take back that nothing was found where something was (devices apart), and note the row."""
        if NO_FINDING not in self.catalog.names:
            return
        normal = self.catalog.index(NO_FINDING)
        findings = [i for i, c in enumerate(self.catalog) if i != normal and not c.is_device]
        contradicted = (matrix[:, normal] == 1) & (matrix[:, findings] == 1).any(axis=1)
        for i in np.flatnonzero(contradicted).tolist():
            present = [self.catalog.names[k] for k in findings if matrix[i, k] == 1]
            matrix[i, normal] = 0
            cells: Any = self.frame.iloc[i]
            row, image = int(self.frame.index[i]), cells[self.image]
            column = self.labels.names[0]
            reason = f"says that nothing was found, beside {', '.join(present)}; it counts as not normal."
            value = "|".join(dict.fromkeys(str(cells[name]) for name in self.labels.names))[:80]
            kind = "No Finding beside a finding"
            self.bad.append(BadRow(row, image, column, value, kind, reason, kept=True))

    def _split(self, i: int, cell: str) -> list[str] | None:
        labels: Any = cell.split(self.labels.separator)
        if cell.startswith("["):
            try:
                labels = ast.literal_eval(cell)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                return None
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                return None
        return [label.strip() for label in labels if label.strip()]

    def _positions(self, counts: Counter[str], first: Mapping[str, int] | None = None) -> dict[str, int]:
        """Return label → position of its concept; what the catalogue does not know is refused or left out.

        Args:
            counts: Labels, and in how many rows they stand.
            first: The first of these rows, where labels stand in cells.
        """
        unknown = [label for label in counts if not self.labels.knows(label, self.catalog)]
        if unknown and self.labels.unmapped == "refuse":
            rows = {label: f", the first row {(first or {})[label]}" for label in first or {}}
            listed = ", ".join(
                f"{label!r} ({counts[label]:,} rows{rows.get(label, '')})" for label in unknown[:10]
            )
            raise TableError(
                f"{self.table}, label columns {list(self.labels.names)}: the catalogue has no concept for "
                f"{listed} in vocabulary {self.labels.vocabulary!r} ({len(unknown)} such labels). Correct "
                f"the spelling, add them to {self.catalog.path} or the mapping, or set unmapped: ignore."
            )
        concepts = {label: self.labels.concept(label, self.catalog) for label in counts}
        return {label: self.catalog.index(name) for label, name in concepts.items() if name is not None}

    def _refuse(self, i: int, column: str, reason: str) -> None:
        cells: Any = self.frame.iloc[i]
        row = int(self.frame.index[i])
        self.bad.append(BadRow(row, cells[self.image], column, cells[column], "bad label", reason))
