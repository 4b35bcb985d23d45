"""Samples from the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from datamodules.loading.sample import Sample
from datamodules.tables.columns import Columns
from datamodules.tables.image_file import Colour, Fit, ImageFileError, read_grey, square
from datamodules.tables.packed import PackedStrings
from datamodules.tables.questions import PackedQuestions
from datamodules.tables.regions import named_phrases, region_boxes, region_masks
from datamodules.tables.table_error import TableError
from synthesis.reports.blank import said
from synthesis.reports.report import Report
from synthesis.reports.sections import cut

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TableRows:
    """The usable rows of a table, in arrays that worker processes share.

    Attributes:
        table: The file.
        rows: Number of each row in it, from 1.
        names: Images as the table names them.
        paths: Their files.
        labels: float32 ``(row, concept)``: 1 present, 0 absent, NaN unknown.
        group: Number of the patient.
        view: 0 PA, 1 AP, -1 unknown.
        split: "train", "val" or "test".
        reports: FINDINGS and IMPRESSION of each row, or None.
        regions: Where the findings are, see `datamodules.tables.regions`; None where masks are not asked for.
        region_concepts: Label of a region → position of its concept.
        questions: What is asked in each row, or None.
    """

    table: Path
    rows: npt.NDArray[np.int64]
    names: PackedStrings
    paths: PackedStrings
    labels: npt.NDArray[np.float32]
    group: npt.NDArray[np.int64]
    view: npt.NDArray[np.int64]
    split: npt.NDArray[Any]
    reports: tuple[PackedStrings, PackedStrings] | None
    regions: PackedStrings | None
    region_concepts: Mapping[str, int]
    questions: PackedQuestions | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def phrases(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return concept and phrase of the regions that have one, each once, sorted.

        Args:
            names: Of the concepts, in label order.
        """
        cells = self.regions if self.regions is not None else ()
        found = {pair for cell in cells for pair in named_phrases(cell, self.region_concepts)}
        return sorted((names[concept], phrase) for concept, phrase in found if phrase)

    def report(self, row: int) -> Report | None:
        """Return the report of a row, by its position here."""
        return Report(self.reports[0][row], self.reports[1][row]) if self.reports else None


class TableSource:
    """Some rows of a table as samples; images are read when they are asked for.

    Args:
        rows: The table.
        chosen: Positions in it, in the order of the samples.
        image_size: Height and width of the images, in pixels.
        fit: See `read_radiograph`.
        colour: See `read_radiograph`.
        masks: Whether samples hold the masks and boxes of their regions, where the table has any.
    """

    def __init__(
        self,
        rows: TableRows,
        chosen: npt.NDArray[np.int64],
        image_size: int,
        fit: Fit,
        colour: Colour,
        masks: bool = False,
    ) -> None:
        self.rows = rows
        self.chosen = chosen
        self.image_size = image_size
        self.fit = fit
        self.colour = colour
        self.masks = masks
        self._last: tuple[str, npt.NDArray[Any]] | None = None  # several questions may follow about one image

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.chosen)

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient."""
        return np.asarray(self.rows.group[self.chosen])

    def labels(self) -> npt.NDArray[np.float32]:
        """Return the labels of all samples, ``(samples, concept)``."""
        return self.rows.labels[self.chosen]

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order.

        Raises:
            ImageFileError: If a file has changed since it was checked, and cannot be read any more.
        """
        return [self._sample(int(self.chosen[index])) for index in indices]

    def _sample(self, row: int) -> Sample:
        rows = self.rows
        grey = self._read(row)
        sample = Sample(
            image=square(grey, self.image_size, self.fit),
            labels=torch.from_numpy(rows.labels[row].copy()),
            group=int(rows.group[row]),
            view=int(rows.view[row]),
            report=rows.report(row),
            question=rows.questions[row] if rows.questions else None,
        )
        if self.masks and rows.regions is not None:
            framed = (rows.regions[row], rows.region_concepts, grey.shape, self.image_size, self.fit)
            try:
                sample.masks, sample.mask_concepts = region_masks(*framed)
                sample.boxes, sample.box_concepts = region_boxes(*framed)
                sample.phrases = [phrase for _, phrase in named_phrases(*framed[:2])]
            except ValueError as error:
                raise TableError(f"{rows.table}, row {rows.rows[row]}: {error}") from error
        return sample

    def _read(self, row: int) -> npt.NDArray[Any]:
        path, last = self.rows.paths[row], self._last
        if last is None or last[0] != path:
            try:
                last = self._last = path, read_grey(Path(path), self.colour)
            except ImageFileError as error:
                raise ImageFileError(f"{self.rows.table}, row {self.rows.rows[row]}: {error}") from error
        return last[1]


def reports_of(frame: pd.DataFrame, columns: Columns) -> tuple[list[str], list[str]] | None:
    """Return FINDINGS and IMPRESSION of each row of a table, or None if it has no report columns.

    A section that says nothing ("nan", "___") is empty.
    """
    if not columns.texts:
        return None
    cells = [
        [said(text) for text in frame[column]] if column else [""] * len(frame)
        for column in (columns.findings, columns.impression, columns.report)
    ]
    reports = [
        Report(findings, impression) if findings or impression else sectioned(whole)
        for findings, impression, whole in zip(*cells, strict=True)
    ]
    return [said(r.findings) for r in reports], [said(r.impression) for r in reports]


def sectioned(text: str) -> Report:
    """Cut a report at its headings; see `synthesis.reports.sections.cut`."""
    return Report(*cut(text))
