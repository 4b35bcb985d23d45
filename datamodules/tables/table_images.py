"""What the data modules over a user's own images share: table, files, splits, bad rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.batch import BOX_CONCEPTS, BOXES, LABELS, MASKS
from datamodules.loading.batch_data_module import STAGES, BatchDataModule
from datamodules.loading.enrichers import Enricher, Masks
from datamodules.loading.enrichers.masks import MASK_KEYS, boxes_left_behind
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import SampleSource
from datamodules.loading.views import Views
from datamodules.tables.bad_row import (
    BadRow,
    describe_bad_rows,
    describe_kept_rows,
    read_bad_rows,
    write_bad_rows,
)
from datamodules.tables.columns import Columns
from datamodules.tables.image_file import Colour, Fit
from datamodules.tables.labels import LabelColumns
from datamodules.tables.manifests import Manifest, TableFile
from datamodules.tables.origin import Origin
from datamodules.tables.splits import check_fractions, check_official, ids_sha256, official_splits, split_of
from datamodules.tables.table_error import TableError
from datamodules.tables.table_reader import TableReader
from datamodules.tables.table_source import TableRows, TableSource
from synthesis.concepts import ConceptCatalog

log = logging.getLogger(__name__)


class TableImages(BatchDataModule):
    """Images of a folder, with what a table says about them.

    Before anything else, every row is checked and every image is read once, on one process; what is wrong is
    listed in ``<artifacts_dir>/bad-rows-….csv``, and not looked at again until a file or a setting changes.
    Patients, never images, are dealt out to the splits, by the hash of their name.

    Args:
        table: CSV, Parquet or JSON file, one row an image; or what joins the lists of a data set, in
            ``image_root``, into such a table.
        image_root: Folder of the data set: of its images, and of the lists that a manifest joins.
        columns: Which column means what.
        image_size: Height and width of the images, in pixels.
        labels: Where the labels stand; None for none (all are unknown then).
        image_folders: Patterns of folders under ``image_root`` that image names are relative to.
        image_suffix: Takes the place of the suffix of the names, e.g. ".png", or follows names that have
            none; None keeps them.
        where: Column → values whose rows are kept, e.g. ``{View Position: [PA, AP]}``; None keeps all.
        splits: "train", "val" and "test" → expected share of the patients.
        split_salt: Other salts, other splits.
        official: The data set's own splits instead: split → values of the column ``columns.split``. Patients
            of a value that stands under several splits are dealt out among them, in the proportion of
            ``splits``.
        origin: Where the data set is to be had, for messages.
        on_bad: Whether bad rows stop the run, or are set aside: left out, counted and listed.
        fit: How a rectangle becomes a square: see `read_radiograph`.
        colour: What happens to images in colour: see `read_radiograph`.
        catalog: Catalogue file; None takes the one shipped.
        artifacts_dir: Directory of the list of bad rows.
        loader: How images are put into batches.
        views: What training is shown of each image.

    Where ``columns.regions`` says where the findings are, evaluation batches hold their masks and boxes;
    training batches do so where a model needs them, and then nothing may move the images.
    """

    reports_required = False
    """Whether an empty report makes a row bad."""

    def __init__(
        self,
        table: Manifest | str | Path,  # in this order: the parser would make a path of anything
        image_root: str | Path,
        columns: Columns,
        image_size: int,
        labels: LabelColumns | None = None,
        image_folders: Sequence[str] = (".",),
        image_suffix: str | None = None,
        where: Mapping[str, list[str]] | None = None,
        splits: Mapping[str, float] | None = None,
        split_salt: str = "synvlp",
        official: Mapping[str, list[str]] | None = None,
        origin: Origin | None = None,
        on_bad: Literal["refuse", "set_aside"] = "refuse",
        fit: Fit = "crop",
        colour: Colour = "refuse",
        catalog: str | Path | None = None,
        artifacts_dir: str | Path = "artifacts",
        loader: LoaderOptions = LoaderOptions(),
        views: Views = Views(),
    ) -> None:
        if image_suffix is not None and not image_suffix.startswith("."):
            raise ValueError(f"image_suffix={image_suffix!r}: begins with no dot; give e.g. '.png'.")
        concepts = ConceptCatalog.load(catalog)
        super().__init__(concepts, loader, views)
        shares = splits or {"train": 0.7, "val": 0.1, "test": 0.2}
        check_fractions(shares, STAGES)
        self.official = {split: list(values) for split, values in (official or {}).items()}
        check_official(self.official, columns.split, STAGES)
        if columns.regions is not None and labels is None:
            raise ValueError(
                f"columns.regions={columns.regions!r}, but there are no labels, whose vocabulary says what "
                "the regions show; give `labels`, or take the regions out."
            )
        self.reader = TableReader(
            manifest=table if isinstance(table, Manifest) else TableFile(str(Path(table).absolute())),
            columns=columns,
            labels=labels,
            catalog=concepts,
            image_root=Path(image_root),
            image_folders=tuple(image_folders),
            image_suffix=image_suffix,
            where=dict(where or {}),
            colour=colour,
            masks=columns.regions is not None,
            reports=self.reports_required,
            origin=origin,
        )
        self.table = self.reader.table
        self.columns = columns
        self.labels = labels
        self.where = self.reader.where
        self._image_size = image_size
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
        super().prepare_data()
        self.prepare_source(STAGES)

    def prepare_source(self, splits: Sequence[str]) -> None:
        """See `prepare_data`: the table is checked as a whole, whatever is asked for."""
        listed = self._bad_rows_file
        if not listed.exists():
            bad = self.reader.bad_rows(self.loader.num_workers)
            self.artifacts_dir.mkdir(parents=True, exist_ok=True)
            write_bad_rows(listed, bad)
        if self.reader.left_out:
            log.warning("%s: %s.", self.table, self.reader.left_out)
        found = read_bad_rows(listed)
        bad, kept = [row for row in found if not row.kept], [row for row in found if row.kept]
        if kept:
            log.warning("%s", describe_kept_rows(self.table, kept, listed))
        if bad and self.on_bad == "refuse":
            text = describe_bad_rows(self.table, bad, listed)
            raise TableError(f"{text}\nCorrect them, or set on_bad: set_aside to go on without these rows.")
        if bad:
            log.warning("set aside: %s", describe_bad_rows(self.table, bad, listed))

    @property
    def bad_rows(self) -> list[BadRow]:
        """The rows that cannot be used, and why; known after `prepare_data`."""
        return [row for row in read_bad_rows(self._bad_rows_file) if not row.kept]

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self._image_size

    @property
    def has_texts(self) -> bool:
        """Whether the table has reports."""
        return bool(self.columns.texts)

    def supplied(self, split: str) -> frozenset[str]:
        """See `BatchDataModule.supplied`."""
        regions = MASK_KEYS | {BOXES, BOX_CONCEPTS}
        return super().supplied(split) | regions

    def lacking(self, split: str) -> dict[str, str]:
        """See `BatchDataModule.lacking`."""
        reasons = super().lacking(split) | boxes_left_behind(split, self.views)
        if self.labels is None:
            reasons[LABELS] = f"{self.table} is read without labels: set data.init_args.labels"
        if self.columns.regions is None:
            reason = f"no column of {self.table} says where findings are: name one as columns.regions"
            reasons |= dict.fromkeys((*MASK_KEYS, BOXES, BOX_CONCEPTS), reason)
        return reasons

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """See `BatchDataModule.enrichers`."""
        return [
            *super().enrichers(split, source),
            Masks(MASKS in self.needs(split), self.views.augmentation if split == "train" else None),
        ]

    @property
    def phrases(self) -> Sequence[tuple[str, str]]:
        """See `BatchDataModule.phrases`."""
        return self._rows.phrases(self.concept_names)

    @property
    def filled_splits(self) -> tuple[str, ...]:
        """The splits that hold images; official ones do whatever their share in ``splits``."""
        there = set(self._rows.split.tolist())
        return tuple(split for split in STAGES if split in there)

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
        masks = split != "train" or MASKS in self.needs("train")
        return TableSource(self._rows, rows, self.image_size, self.fit, self.colour, masks)

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of the image names of a split, sorted, one a line."""
        return ids_sha256(self._rows.names[int(i)] for i in np.flatnonzero(self._rows.split == split))

    @cached_property
    def _bad_rows_file(self) -> Path:
        return self.artifacts_dir / f"bad-rows-{self.reader.fingerprint[:16]}.csv"

    @cached_property
    def _rows(self) -> TableRows:
        """What is left after the bad rows, packed."""
        listed = self._bad_rows_file
        if not listed.exists():
            raise RuntimeError(f"{listed} is not there: call prepare_data before the data is used.")
        left_out = {row.row for row in self.bad_rows}
        patients, own = self.reader.patients(left_out), self.reader.own_splits(left_out)
        if own is None:
            split = [split_of(patient, self.splits, self.split_salt) for patient in patients]
        else:
            try:
                split = official_splits(own, patients, self.official, self.splits, self.split_salt)
            except ValueError as error:
                raise TableError(f"{self.table}, column {self.columns.split!r}: {error}") from error
        return self.reader.rows(left_out, split)
