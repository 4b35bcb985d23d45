"""From a row of a corpus to a sample."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from datamodules.batch import UNKNOWN_VIEW
from datamodules.loading.sample import Sample
from datamodules.made.corpus_columns import CorpusColumns
from datamodules.made.corpus_error import CorpusError
from datamodules.tables.image_file import Fit, ImageFileError, read_picture, square
from datamodules.tables.view_positions import view_code
from synthesis.cases import Case, Finding
from synthesis.concepts import ConceptCatalog, UnknownConceptError
from synthesis.reports.blank import said
from synthesis.reports.report import Report
from synthesis.reports.sections import cut

Row = Mapping[str, Any]
"""Column → value; the image as bytes, or as ``{"bytes": …}``."""


@dataclass(frozen=True)
class RowReader:
    """Turns rows into samples.

    Attributes:
        columns: Which column means what.
        catalog: The concepts, in label order.
        image_size: Height and width of the images, in pixels.
        fit: How a rectangle becomes a square.
    """

    columns: CorpusColumns
    catalog: ConceptCatalog
    image_size: int
    fit: Fit

    def sample(self, row: Row, place: int, where: str) -> Sample:
        """Return a row as a sample.

        Args:
            row: The row.
            place: Its number in the corpus.
            where: How messages name it.

        Raises:
            CorpusError: If it cannot be used; the message names file, row, column, value and remedy.
        """
        case = self._case(row, where)
        view = row.get(self.columns.view or "")
        return Sample(
            image=self._image(row, where),
            labels=self._labels(row, case, where),
            group=self._group(row, place),
            view=view_code(view) if isinstance(view, str) else UNKNOWN_VIEW,
            report=self.report(row, where),
            case=case,
        )

    @staticmethod
    def where(row: Row, number: int, file: str) -> str:
        """Return how messages name a row, by its number in its file."""
        return f"{file}, row {number} ({row.get('key', row.get('index', 'no key'))})"

    def report(self, row: Row, where: str) -> Report:
        """Return the report of a row.

        Raises:
            CorpusError: If it is empty.
        """
        columns = self.columns
        findings, impression = (
            said(str(row.get(column or "") or "")) for column in (columns.findings, columns.impression)
        )
        if findings or impression:
            return Report(findings, impression)
        text = said(str(row.get(columns.text or "") or ""))
        findings, impression = map(said, cut(text))
        if not (findings or impression):
            read = [c for c in (columns.findings, columns.impression, columns.text) if c]
            raise CorpusError(
                f"{where}: no text in any of the columns {read}; it has {sorted(row)}. Fill it in, or "
                "correct data.init_args.columns."
            )
        return Report(findings, impression)

    def _image(self, row: Row, where: str) -> torch.Tensor:
        value = row.get(self.columns.image)
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes) or not content:
            raise CorpusError(
                f"{where}, column {self.columns.image!r}: holds no bytes of an image but "
                f"{type(value).__name__}; the row has {sorted(row)}. Correct data.init_args.columns.image, "
                "or embed the images."
            )
        try:
            return square(read_picture(io.BytesIO(content), where), self.image_size, self.fit)
        except ImageFileError as error:
            raise CorpusError(str(error)) from error

    def _case(self, row: Row, where: str) -> Case | None:
        text = row.get(self.columns.case or "")
        if text is None:
            return None
        try:
            findings = tuple(Finding(**finding) for finding in json.loads(text))
            absent = tuple(row.get(self.columns.absent or "") or ())
            for name in (*(finding.concept for finding in findings), *absent):
                self.catalog.index(name)
            return Case(findings, absent, row.get(self.columns.view or "") or "PA")
        except (ValueError, TypeError, UnknownConceptError) as error:
            raise CorpusError(
                f"{where}, column {self.columns.case!r}: {str(text)[:80]!r} is no case of the catalogue "
                f"{self.catalog.path} ({error}). Take the catalogue that the corpus was made with, or set "
                "data.init_args.columns.case to null."
            ) from error

    def _labels(self, row: Row, case: Case | None, where: str) -> torch.Tensor:
        if case is not None:
            return torch.from_numpy(case.labels(self.catalog))
        named = row.get(self.columns.concepts or "")
        if named is None:
            return torch.full((len(self.catalog),), np.nan)
        labels = torch.full((len(self.catalog),), 0.0 if self.columns.unmentioned == "absent" else np.nan)
        for name in named:
            try:
                labels[self.catalog.index(name)] = 1
            except UnknownConceptError as error:
                raise CorpusError(
                    f"{where}, column {self.columns.concepts!r}: {error} Correct it, take another catalogue, "
                    "or set data.init_args.columns.concepts to null."
                ) from error
        return labels

    def _group(self, row: Row, place: int) -> int:
        if self.columns.patient is not None:
            digest = hashlib.sha256(str(row[self.columns.patient]).encode()).digest()
            return int.from_bytes(digest[:7], "big")
        return int(row.get("index", place))
