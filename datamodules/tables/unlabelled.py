"""Images of which nothing is known: files of a folder, a pattern or a table, to be predicted on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.batch import UNKNOWN_VIEW, Batch
from datamodules.loading.batch_data_module import BatchDataModule
from datamodules.loading.block_sampler import BlockSampler
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import Sample
from datamodules.loading.samplers import Key
from datamodules.tables.image_file import Colour, Fit, ImageFileError, read_radiograph
from datamodules.tables.image_listing import ImageListing, list_images
from datamodules.texts.report_bank import ReportBank
from synthesis.concepts import ConceptCatalog
from synthesis.limits import at_least


class UnlabelledImages(BatchDataModule):
    """Radiographs without labels or reports, for `predict`.

    Nothing is read beforehand. A file that cannot be used does not end the run: its place in the batch says
    what is wrong with it (``faults``), see `datamodules.batch.Batch`.

    Args:
        images: Folders, patterns, tables and files: see `list_images`.
        image_size: Height and width of the images; None takes the model's.
        column: Column of the tables that names the image; None looks for a usual name.
        image_root: Folder that names in tables are relative to; None takes the table's.
        fit: How a rectangle becomes a square: see `read_radiograph`.
        colour: What happens to images in colour: see `read_radiograph`.
        reports: Reports among which the nearest of each image are looked for; None for none.
        catalog: Catalogue file; None takes the one shipped.
        loader: ``eval_batch_size`` (or ``batch_size``) images a batch, ``num_workers`` processes that read.
    """

    allow_zero_length_dataloader_with_multiple_devices = True  # more processes than images

    def __init__(
        self,
        images: str | Sequence[str],
        image_size: int | None = None,
        column: str | None = None,
        image_root: str | Path | None = None,
        fit: Fit = "crop",
        colour: Colour = "refuse",
        reports: ReportBank | None = None,
        catalog: str | Path | None = None,
        loader: LoaderOptions = LoaderOptions(),
    ) -> None:
        super().__init__(ConceptCatalog.load(catalog), loader)
        self.images = [images] if isinstance(images, str) else list(images)
        if image_size is not None:
            at_least(self, 1, image_size=image_size)
        self._image_size = image_size
        self.column = column
        self.image_root = image_root
        self.fit = fit
        self.colour = colour
        self.reports = reports

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels.

        Raises:
            ValueError: If neither they nor a model say it.
        """
        if self._image_size is not None:
            return self._image_size
        model: Any = getattr(self.trainer, "lightning_module", None)
        side = getattr(getattr(model, "image_encoder", None), "image_size", None)
        if side is None:
            raise ValueError(
                f"UnlabelledImages: the image tower of {type(model).__name__} has no image_size; give "
                "data.init_args.image_size."
            )
        return int(side)

    @property
    def has_texts(self) -> bool:
        """Whether the samples have reports."""
        return False

    @property
    def filled_splits(self) -> tuple[str, ...]:
        """The splits that have samples: all are in "test"."""
        return ("test",)

    def setup(self, stage: str) -> None:
        """List the images.

        Raises:
            MissingFileError: If there are none.
            TableError: If a table cannot be used.
        """
        super().setup(stage)
        len(self.listing)

    @cached_property
    def listing(self) -> ImageListing:
        """The images, listed once."""
        return list_images(self.images, self.column, self.image_root)

    def source(self, split: str) -> FileSource:
        """Return the images."""
        return FileSource(self.listing, len(self.catalog), self.image_size, self.fit, self.colour)

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of the names."""
        return self.listing.sha256

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return this process's part of the images, in order."""
        source = self.source("test")
        return DataLoader(
            _Files(source),
            batch_size=self.loader.evaluated_at_once,
            sampler=BlockSampler(len(source), *self.rank_and_world()),
            collate_fn=_as_it_is,
            num_workers=self.loader.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    # ------------------------------------------------------------------------------------------ NamedImages
    def image_count(self) -> int:
        """See `datamodules.batch.NamedImages`."""
        return len(self.listing)

    def image_name(self, index: int) -> str:
        """See `datamodules.batch.NamedImages`."""
        return self.listing.names[index]

    def picture(self, index: int, side: int) -> Tensor | None:
        """See `datamodules.batch.NamedImages`."""
        return read_radiograph(self.listing.paths[index], side, self.fit, self.colour)

    def candidate_reports(self) -> Sequence[str]:
        """See `datamodules.batch.NamedImages`."""
        return [] if self.reports is None else self.reports.read(self.catalog)

    def images_sha256(self) -> str:
        """See `datamodules.batch.NamedImages`."""
        return self.listing.sha256


class FileSource:
    """Image files as samples; they are read when they are asked for.

    Args:
        listing: The files.
        concepts: Number of concepts, all of them unknown.
        image_size: Height and width of the images, in pixels.
        fit: See `read_radiograph`.
        colour: See `read_radiograph`.
    """

    def __init__(
        self, listing: ImageListing, concepts: int, image_size: int, fit: Fit, colour: Colour
    ) -> None:
        self.listing = listing
        self.concepts = concepts
        self.image_size = image_size
        self.fit = fit
        self.colour = colour

    def __len__(self) -> int:
        """Number of images."""
        return len(self.listing)

    def groups(self) -> npt.NDArray[np.int64]:
        """Return a number an image: patients are not known."""
        return np.arange(len(self))

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the images of some indices.

        Raises:
            ImageFileError: If a file cannot be used.
        """
        unknown = torch.full((self.concepts,), float("nan"))
        return [Sample(self.image(index), unknown.clone(), index, UNKNOWN_VIEW) for index in indices]

    def image(self, index: int) -> Tensor:
        """Return one image, uint8 ``(1, image_size, image_size)``.

        Raises:
            ImageFileError: If its file cannot be used.
        """
        path = self.listing.paths[index]
        if not path:
            raise ImageFileError(
                f"{self.listing.names[index]}: no such file under the image folder, or several of that name; "
                "correct the name, or give image_root.",
                "missing file",
            )
        return read_radiograph(path, self.image_size, self.fit, self.colour)


class _Files(Dataset[Batch]):
    """Makes batches of files, good and bad."""

    def __init__(self, source: FileSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        indices = [index for _, index in keys]
        pictures, faults = zip(*(self._read(index) for index in indices), strict=True)
        return Batch(
            image=torch.stack(pictures).float().div_(255), index=torch.tensor(indices), faults=list(faults)
        )

    def _read(self, index: int) -> tuple[Tensor, tuple[str, str] | None]:
        try:
            return self.source.image(index), None
        except ImageFileError as error:
            fault = (error.kind, str(error))
        except Exception as error:  # a file nobody has looked at must not end a run over a million others
            fault = ("unreadable", f"{self.source.listing.paths[index]}: {type(error).__name__}: {error}")
        side = self.source.image_size
        return torch.zeros(1, side, side, dtype=torch.uint8), fault


def _as_it_is(batch: Any) -> Any:
    return batch
