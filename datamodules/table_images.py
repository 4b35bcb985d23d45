"""What the data modules over a user's own images share: table, files, splits, bad rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from datamodules.base import STAGES, BatchDataModule
from datamodules.batch import UNKNOWN_VIEW, VIEWS
from datamodules.image_check import unreadable
from datamodules.image_file import Colour, Fit
from datamodules.image_folders import find_images
from datamodules.labels import LabelColumns, read_labels
from datamodules.packed import PackedStrings
from datamodules.splits import check_fractions, ids_sha256, split_of
from datamodules.table import (
    BadRow,
    Columns,
    TableError,
    bad_cells,
    describe_bad_rows,
    read_bad_rows,
    read_table,
    write_bad_rows,
)
from datamodules.table_source import TableRows, TableSource, packed_reports
from datamodules.transforms import Augmentation, TextView
from synthesis.concepts import ConceptCatalog
from synthesis.files import file_sha256
from synthesis.pairs import json_sha256

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class TableImages(BatchDataModule):
    """Images of a folder, with what a table says about them.

    Before anything else, every row is checked and every image is read once, on one process; what is wrong is
    listed in ``<artifacts_dir>/bad-rows-….csv``, and not looked at again until a file or a setting changes.
    Patients, never images, are dealt out to the splits, by the hash of their name.

    Args:
        table: CSV or Parquet file, one row an image.
        image_root: Folder of the images.
        columns: Which column means what.
        image_size: Height and width of the images, in pixels.
        labels: Where the labels stand; None for none (all are unknown then).
        image_folders: Patterns of folders under ``image_root`` that image names are relative to.
        where: Column → values whose rows are kept, e.g. ``{View Position: [PA, AP]}``; None keeps all.
        splits: "train", "val" and "test" → expected share of the patients.
        split_salt: Other salts, other splits.
        on_bad: Whether bad rows stop the run, or are set aside: left out, counted and listed.
        fit: How a rectangle becomes a square: see `read_radiograph`.
        colour: What happens to images in colour: see `read_radiograph`.
        catalog: Catalogue file; None takes the one shipped.
        artifacts_dir: Where the list of bad rows is kept.
        batch_size: Training samples of one rank in a step.
        eval_batch_size: Evaluation samples of one rank in a step; None takes ``batch_size``.
        epoch_images: Training images of an epoch over all ranks; None takes all.
        num_workers: Processes that read images, a loader; 0 reads them in the training process.
        seed: Seed of the order and of what varies between epochs.
        max_length: Longest text in tokens, a multiple of 8.
        text_views: What training reads of a report, one text a view: each is compared with the image, which
            is encoded once. None reads all of it.
        augmentation: How training changes images; None leaves them.
    """

    reports_required = False
    """Whether an empty report makes a row bad."""

    def __init__(
        self,
        table: str | Path,
        image_root: str | Path,
        columns: Columns,
        image_size: int,
        labels: LabelColumns | None = None,
        image_folders: Sequence[str] = (".",),
        where: Mapping[str, list[str]] | None = None,
        splits: Mapping[str, float] | None = None,
        split_salt: str = "synvlp",
        on_bad: Literal["refuse", "set_aside"] = "refuse",
        fit: Fit = "crop",
        colour: Colour = "refuse",
        catalog: str | Path | None = None,
        artifacts_dir: str | Path = "artifacts",
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        epoch_images: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        max_length: int = 192,
        text_views: Sequence[TextView] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        concepts = ConceptCatalog.load(catalog)
        super().__init__(
            concepts,
            batch_size,
            eval_batch_size,
            epoch_images,
            num_workers,
            seed,
            max_length,
            text_views,
            augmentation,
        )
        self.table = Path(table)
        self.image_root = Path(image_root)
        self.columns = columns
        self.image_size = image_size
        self.labels = labels
        self.image_folders = tuple(image_folders)
        self.where = dict(where or {})
        shares = splits or {"train": 0.7, "val": 0.1, "test": 0.2}
        check_fractions(shares, STAGES)
        self.splits = {split: float(shares.get(split, 0)) for split in STAGES}
        self.split_salt = split_salt
        self.on_bad = on_bad
        self.fit = fit
        self.colour = colour
        self.artifacts_dir = Path(artifacts_dir)

    def prepare_data(self) -> None:
        """Check every row and read every image once.

        Raises:
            TableError: If the table cannot be used, or has bad rows and they are to be refused.
        """
        listed = self._bad_rows_file
        if not listed.exists():
            bad = self._bad_cells + self._label_matrix[1]
            bad += self._bad_images({row.row for row in bad})
            self.artifacts_dir.mkdir(parents=True, exist_ok=True)
            write_bad_rows(listed, bad)
        bad = read_bad_rows(listed)
        if bad and self.on_bad == "refuse":
            text = describe_bad_rows(self.table, bad, listed)
            raise TableError(f"{text}\nCorrect them, or set on_bad: set_aside to go on without these rows.")
        if bad:
            log.warning("set aside: %s", describe_bad_rows(self.table, bad, listed))

    def setup(self, stage: str) -> None:
        """Nothing is needed besides what `prepare_data` left; rows are read when they are first asked for.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """

    def source(self, split: str) -> TableSource:
        """Return the images of "train", "val" or "test".

        Raises:
            TableError: If the split is empty.
        """
        rows = np.flatnonzero(self._rows.split == split)
        if not len(rows):
            raise TableError(
                f"{self.table}: no image in split {split!r} (shares {self.splits} of {len(self._rows):,} "
                f"images); raise its share in `splits`."
            )
        return TableSource(self._rows, rows, self.image_size, self.fit, self.colour)

    def split_sha256(self, split: str) -> str:
        """Return the SHA-256 of the image names of a split, sorted, one a line."""
        return ids_sha256(self._rows.names[int(i)] for i in np.flatnonzero(self._rows.split == split))

    @cached_property
    def _frame(self) -> pd.DataFrame:
        names = [*self.columns.names, *(self.labels.names if self.labels else ())]
        return read_table(self.table, names, self.where)

    @cached_property
    def _bad_cells(self) -> list[BadRow]:
        return bad_cells(self._frame, self.columns, self.reports_required)

    @cached_property
    def _label_matrix(self) -> tuple[npt.NDArray[np.float32], list[BadRow]]:
        if self.labels is None:
            return np.full((len(self._frame), len(self.catalog)), np.nan, np.float32), []
        return read_labels(self._frame, self.columns.image, self.labels, self.catalog, self.table)

    @cached_property
    def _paths(self) -> list[Path | None]:
        return find_images(self.image_root, self.image_folders, list(self._frame[self.columns.image]))

    @cached_property
    def _bad_rows_file(self) -> Path:
        """Named by everything that decides which rows are bad."""
        stats = [path.stat() if path else None for path in self._paths]
        content = {
            "format": 1,  # of this list, and of what counts as bad
            "table": file_sha256(self.table),
            "files": [(s.st_size, s.st_mtime_ns) if s else None for s in stats],
            "columns": asdict(self.columns),
            "labels": asdict(self.labels) if self.labels else None,
            "catalog": self.catalog.sha256,
            "where": self.where,
            "colour": self.colour,
            "reports": self.reports_required,
        }
        return self.artifacts_dir / f"bad-rows-{json_sha256(content)[:16]}.csv"

    def _bad_images(self, known: set[int]) -> list[BadRow]:
        """Read the image of every row that is not known to be bad."""
        column = self.columns.image
        rows = [(i, int(row)) for i, row in enumerate(self._frame.index) if row not in known]
        reasons = unreadable([self._paths[i] for i, _ in rows], self.colour, self.num_workers)
        named = zip(rows, reasons, strict=True)
        cells = self._frame[column]
        return [BadRow(row, cells[row], column, cells[row], reason) for (_, row), reason in named if reason]

    @cached_property
    def _rows(self) -> TableRows:
        """What is left after the bad rows, packed."""
        listed = self._bad_rows_file
        if not listed.exists():
            raise RuntimeError(f"{listed} is not there: call prepare_data before the data is used.")
        left_out = {row.row for row in read_bad_rows(listed)}
        keep = np.array([row not in left_out for row in self._frame.index])
        frame = self._frame[keep]
        names = frame[self.columns.image]
        patients = frame[self.columns.patient] if self.columns.patient else names
        views = frame[self.columns.view].str.upper() if self.columns.view else [""] * len(frame)
        rows = TableRows(
            table=self.table,
            rows=frame.index.to_numpy(),
            names=PackedStrings(names),
            paths=PackedStrings(str(path) for path, kept in zip(self._paths, keep, strict=True) if kept),
            labels=self._label_matrix[0][keep],
            group=np.unique(patients.to_numpy(str), return_inverse=True)[1],
            view=np.array([VIEWS.index(view) if view in VIEWS else UNKNOWN_VIEW for view in views]),
            split=np.array([split_of(patient, self.splits, self.split_salt) for patient in patients]),
            reports=packed_reports(frame, self.columns),
        )
        for unpacked in ("_frame", "_bad_cells", "_label_matrix", "_paths"):
            self.__dict__.pop(unpacked, None)  # gigabytes of small objects, for the larger data sets
        return rows
