"""What every data module here shares: the loaders, and the facts that models and callbacks ask for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batch import Batch, subset_of_patients
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.dataset import BatchDataset, SampleSource
from datamodules.loading.epoch_loader import EpochLoader
from datamodules.loading.samplers import EpochSampler, OrderedSampler
from datamodules.loading.subset_source import SubsetSource
from datamodules.texts.claim_reader import ClaimReader
from datamodules.texts.text_view import TextView
from datamodules.texts.tokenizer import PADDING_MULTIPLE
from synthesis.concepts import ConceptCatalog

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

STAGES = ("train", "val", "test")


class BatchDataModule(LightningDataModule):
    """Loaders over the sources of three splits; a subclass says what the sources are.

    Args:
        catalog: The concepts, in label order.
        batch_size: Training samples of one rank in a step.
        eval_batch_size: Evaluation samples of one rank in a step; None takes ``batch_size``. No result
            depends on it.
        epoch_size: Training samples of an epoch over all ranks; None takes all.
        num_workers: Processes that make batches, a loader; 0 makes them in the training process.
        seed: Seed of order, augmentation and text views.
        max_length: Longest text in tokens, a multiple of 8.
        text_views: What training reads of a report, one text a view: each is compared with the image, which
            is encoded once. None reads all of it.
        augmentation: How training changes images; None leaves them.
        echo: How often an epoch shows each of its training samples.
        image_views: Training augmentations of each image, ≥ 1: more than one for objectives that compare
            them.
        unpaired: Whether training reads the reports of other patients than it sees, for objectives that need
            no pairs.
        label_fraction: Share of the training patients that are trained on, in (0, 1]: 0.01, 0.1 and 1 are
            usual. A smaller share is part of a larger one; other seeds choose others. An epoch has as many
            samples as with all, for curves over labels at equal steps. Evaluation keeps all.

    Attributes:
        tokenizer: A `transformers.BertTokenizerFast` once set up; None for image-only data.
        catalog: The concepts, in label order.
    """

    least_samples_in_step = 1
    """Fewest training samples of all ranks in a step that make sense."""

    made = False
    """Whether all pairs are made: see `DataFacts`."""

    questions_sha256: str | None = None
    """See `DataFacts`."""

    def __init__(
        self,
        catalog: ConceptCatalog,
        batch_size: int,
        eval_batch_size: int | None,
        epoch_size: int | None,
        num_workers: int,
        seed: int,
        max_length: int,
        text_views: Sequence[TextView] | None,
        augmentation: Augmentation | None,
        echo: int = 1,
        image_views: int = 1,
        unpaired: bool = False,
        label_fraction: float = 1.0,
    ) -> None:
        super().__init__()
        if image_views < 1 or (image_views > 1 and augmentation is None):
            raise ValueError(
                f"image_views={image_views} with augmentation={augmentation}: give 1 or more, and an "
                "augmentation ({} for the default) for more than 1, or all views would be alike."
            )
        if not 0 < label_fraction <= 1:
            raise ValueError(f"label_fraction={label_fraction}: give a share of the patients in (0, 1].")
        if max_length % PADDING_MULTIPLE or max_length < PADDING_MULTIPLE:
            raise ValueError(
                f"max_length={max_length}: texts are padded to multiples of 8; give one, e.g. 128."
            )
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if size is not None and size < 1:
                raise ValueError(f"{name}={size}: a batch holds at least one sample; give 1 or more.")
        self.catalog = catalog
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.epoch_size = epoch_size
        self.num_workers = num_workers
        self.seed = seed
        self.max_length = max_length
        if text_views is not None and not text_views:
            raise ValueError("text_views=[]: training would read nothing; give one view or more, or null.")
        if text_views is not None and text_views[0].claims:
            raise ValueError("text_views[0] asks for claims: the first text is compared with every image")
        self.text_views = text_views
        self.augmentation = augmentation
        self.echo = echo
        self.image_views = image_views
        self.unpaired = unpaired
        self.label_fraction = label_fraction
        self.tokenizer: BertTokenizerFast | None = None

    @abstractmethod
    def source(self, split: str) -> SampleSource:
        """Return the samples of "train", "val" or "test"."""

    @abstractmethod
    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of what a split consists of, to stand beside every figure measured on it.

        Args:
            split: "train", "val" or "test".
            source: One of `evaluation_sources`; None for the first.
        """

    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        """Return the names of the evaluation loaders of a split: see `DataFacts`."""
        return ("",)

    @property
    def augmented(self) -> bool:
        """Whether a training image looks different each time it is shown."""
        return self.augmentation is not None

    @property
    def concept_names(self) -> tuple[str, ...]:
        """Names of the concepts, in label order."""
        return self.catalog.names

    def claims(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Read which concepts texts assert and deny: see `ClaimReader`.

        Returns:
            Float32 0/1 of ``(text, concept)`` each.
        """
        return ClaimReader(self.catalog).read(texts)

    def train_dataloader(self) -> EpochLoader:
        """Full batches of the current epoch, the same number on every rank.

        Raises:
            ValueError: If a step would hold too few samples, or an epoch no step or more than there are.
        """
        rank, world = self._rank_and_world()
        if self.batch_size * world < self.least_samples_in_step:
            raise ValueError(
                f"batch_size={self.batch_size} on {world} rank: a contrastive loss compares each pair with "
                f"the others of its step; a step of one has none, so nothing would be learnt. Give "
                f"batch_size={self.least_samples_in_step} or more."
            )
        source = self.source("train")
        epoch_size = len(source) if self.epoch_size is None else self.epoch_size
        if not 0 < epoch_size <= len(source):
            raise ValueError(
                f"an epoch of {epoch_size} samples cannot be taken from {len(source)}; give 1 to "
                f"{len(source)}."
            )
        if self.label_fraction < 1:
            chosen = subset_of_patients(source.groups(), self.label_fraction, self.seed)
            source = SubsetSource(source, np.flatnonzero(chosen))
        sampler = EpochSampler(len(source), self.batch_size, self.seed, epoch_size, rank, world, self.echo)
        return EpochLoader(
            self._dataset(source, self.augmentation, self.text_views, self.image_views, self.unpaired),
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=True,
            collate_fn=_unchanged,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers
            > 0,  # the epoch comes with each key, so they need not be told
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split, in order."""
        return self._eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split, in order."""
        return self._eval_dataloader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test split, in order."""
        return self._eval_dataloader("test")

    def _eval_dataloader(self, split: str) -> DataLoader[Batch]:
        source = self.source(split)
        return DataLoader(
            self._dataset(source),
            batch_size=self.eval_batch_size,
            sampler=OrderedSampler(len(source), *self._rank_and_world()),
            collate_fn=_unchanged,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def _dataset(
        self,
        source: SampleSource,
        augmentation: Augmentation | None = None,
        text_views: Sequence[TextView] | None = None,
        image_views: int = 1,
        unpaired: bool = False,
    ) -> BatchDataset:
        varied = (augmentation, text_views, self.catalog, image_views, unpaired)
        return BatchDataset(source, self.tokenizer, self.max_length, self.seed, *varied)

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)


def _unchanged(batch: Any) -> Any:
    """The dataset has put the batch together."""
    return batch
