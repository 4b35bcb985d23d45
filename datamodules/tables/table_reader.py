"""Reading everything a table says of its images, once."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from datamodules.tables.bad_row import BadRow, bad_cells, empty_reports
from datamodules.tables.columns import Columns
from datamodules.tables.image_check import look_at_images, same_files, same_pictures
from datamodules.tables.image_file import Colour
from datamodules.tables.image_folders import find_images, with_image_suffix
from datamodules.tables.labels import LabelColumns, read_labels
from datamodules.tables.manifests import Manifest
from datamodules.tables.origin import Origin
from datamodules.tables.packed import PackedStrings
from datamodules.tables.questions import PackedQuestions, QuestionColumns, bad_questions
from datamodules.tables.regions import bad_regions, misplaced_regions
from datamodules.tables.table import choose_rows, frame_sha256, select
from datamodules.tables.table_error import MissingFileError
from datamodules.tables.table_source import TableRows, reports_of
from datamodules.tables.view_positions import unknown_views, view_code
from synthesis.concepts import ConceptCatalog
from synthesis.identity import json_sha256

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass
class TableReader:
    """Reads a table, finds its images and says which rows are bad; see `TableImages` for the attributes.

    Attributes:
        reports: Whether an empty report makes a row bad.
        questions: Where closed questions stand, a row each; None for none.
        left_out: What is left out of the table, for people; known with `frame`.
    """

    manifest: Manifest
    columns: Columns
    labels: LabelColumns | None
    catalog: ConceptCatalog
    image_root: Path
    image_folders: tuple[str, ...]
    image_suffix: str | None
    where: dict[str, list[str]]
    colour: Colour
    masks: bool
    reports: bool
    origin: Origin | None
    questions: QuestionColumns | None = None
    left_out: str = field(default="", init=False)

    @property
    def table(self) -> Path:
        """The file or folder that messages name."""
        return self.image_root / self.manifest.path

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The columns named, of the rows asked for.

        Raises:
            TableError: If the table cannot be used.
        """
        names = [*self.columns.names, *(self.labels.names if self.labels else ())]
        names += self.questions.names if self.questions else ()
        with self._origin_named():
            listing = self.labels.columns if self.labels and isinstance(self.labels.columns, str) else None
            frame = self.manifest.frame(self.image_root)
            frame = select(frame, self.table, [*names, *self.where], listing)
        frame, said = choose_rows(frame, self.table, self.where)
        self.left_out = "; ".join(filter(None, [self.manifest.left_out, said]))
        return frame

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides which rows are bad."""
        stats = [path.stat() if path and path.exists() else None for path in self._paths]
        content = {
            "format": 4,  # of the list of bad rows, and of what counts as bad
            "table": frame_sha256(self.frame),
            "files": [(s.st_size, s.st_mtime_ns) if s else None for s in stats],
            "columns": asdict(self.columns),
            "labels": asdict(self.labels) if self.labels else None,
            "catalog": self.catalog.sha256,
            "where": self.where,
            "colour": self.colour,
            "reports": self.reports,
            "masks": self.masks,
        }
        return json_sha256(content | ({"questions": asdict(self.questions)} if self.questions else {}))

    def bad_rows(self, workers: int) -> list[BadRow]:
        """Check every row and read every image.

        Args:
            workers: Processes that read images; 0 reads them here.

        Returns:
            The rows that cannot be used, and those that are kept but should be looked at.
        """
        frame, columns = self.frame, self.columns
        images = frame[columns.image]
        found = bad_cells(frame, columns, self.questions is not None) + same_files(images, self._paths)
        found += self._label_matrix[1]
        found += bad_questions(frame, columns.image, self.questions) if self.questions else []
        if self.reports and self._reports is not None:
            silent = [
                not (findings or impression) for findings, impression in zip(*self._reports, strict=True)
            ]
            found += empty_reports(frame, columns, silent)
        regions = frame[columns.regions] if self.masks and columns.regions and self.labels else None
        if regions is not None and self.labels is not None:
            ignored = self.labels.unmapped == "ignore"
            knows = partial(self.labels.knows, catalog=self.catalog) if not ignored else None
            found += bad_regions(regions, images, knows)
        known = {row.row for row in found if not row.kept}
        unread, seen = look_at_images(images, self._paths, known, self.colour, workers)
        found += unread + same_pictures(images, frame[columns.patient] if columns.patient else None, seen)
        return found + (misplaced_regions(regions, images, seen) if regions is not None else [])

    def patients(self, left_out: Collection[int]) -> list[str]:
        """Return the patient of each row that is not left out; the image where patients are not known."""
        frame = self.frame[~self.frame.index.isin(list(left_out))]
        return list(frame[self.columns.patient or self.columns.image])

    def own_splits(self, left_out: Collection[int]) -> list[str] | None:
        """Return what the table says of the split of each row that is not left out; None if nothing."""
        if self.columns.split is None:
            return None
        return list(self.frame[self.columns.split][~self.frame.index.isin(list(left_out))])

    def rows(self, left_out: Collection[int], split: Sequence[str]) -> TableRows:
        """Pack what is not left out, and forget the table: of the larger ones it is gigabytes of objects.

        Args:
            left_out: Numbers of rows.
            split: Split of each of the others.
        """
        keep = ~self.frame.index.isin(list(left_out))
        frame = self.frame[keep]
        views = list(frame[self.columns.view]) if self.columns.view else [""] * len(frame)
        self._warn_of_views(views)
        regions = frame[self.columns.regions] if self.masks and self.columns.regions else None
        rows = TableRows(
            table=self.table,
            rows=frame.index.to_numpy(),
            names=PackedStrings(frame[self.columns.image]),
            paths=PackedStrings(str(path) for path, kept in zip(self._paths, keep, strict=True) if kept),
            labels=self._label_matrix[0][keep],
            group=np.unique(np.array(self.patients(left_out), str), return_inverse=True)[1],
            view=np.array([view_code(view) for view in views], np.int64),
            split=np.array(split),
            reports=self._packed_reports(keep),
            regions=None if regions is None else PackedStrings(regions),
            region_concepts={} if regions is None else self._region_concepts(regions),
            questions=PackedQuestions(frame, self.questions) if self.questions else None,
        )
        for unpacked in ("frame", "_label_matrix", "_paths", "_reports"):
            self.__dict__.pop(unpacked, None)
        return rows

    @cached_property
    def _reports(self) -> tuple[list[str], list[str]] | None:
        """FINDINGS and IMPRESSION of each row; None where there are no report columns."""
        return reports_of(self.frame, self.columns)

    def _packed_reports(self, keep: npt.NDArray[np.bool_]) -> tuple[PackedStrings, PackedStrings] | None:
        if self._reports is None:
            return None
        findings, impressions = (PackedStrings(compress(texts, keep)) for texts in self._reports)
        return findings, impressions

    def _warn_of_views(self, views: Sequence[str]) -> None:
        if unknown := unknown_views(views):
            named = ", ".join(f"{view!r} ({count:,})" for view, count in unknown.most_common(8))
            log.warning(
                "%s, column %r: %s of %s images are of neither view PA nor AP, and count as of unknown view: "
                "%s%s. Leave lateral ones out with `where`.",
                self.table,
                self.columns.view,
                f"{unknown.total():,}",
                f"{len(views):,}",
                named,
                " …" if len(unknown) > 8 else "",
            )

    def _region_concepts(self, cells: pd.Series[str]) -> dict[str, int]:
        assert self.labels is not None
        labels = {region["label"] for cell in cells if cell for region in json.loads(cell)}
        concepts = {label: self.labels.concept(label, self.catalog) for label in sorted(labels)}
        return {label: self.catalog.index(name) for label, name in concepts.items() if name is not None}

    @cached_property
    def _label_matrix(self) -> tuple[npt.NDArray[np.float32], list[BadRow]]:
        if self.labels is None:
            return np.full((len(self.frame), len(self.catalog)), np.nan, np.float32), []
        return read_labels(self.frame, self.columns.image, self.labels, self.catalog, self.table)

    @cached_property
    def _paths(self) -> list[Path | None]:
        names = list(self.frame[self.columns.image])
        if self.image_suffix is not None:
            names = [with_image_suffix(name, self.image_suffix) if name else name for name in names]
        with self._origin_named():
            return find_images(self.image_root, self.image_folders, names)

    @contextmanager
    def _origin_named(self) -> Iterator[None]:
        """Add to messages about what is missing where it is to be had."""
        try:
            yield
        except MissingFileError as error:
            raise MissingFileError(f"{error} {self.origin or ''}".strip()) from error
