"""What every data module here shares: the loaders, and the facts that models and callbacks ask for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batch import (
    ATTENTION_MASK,
    CLAIMS,
    GROUP,
    IMAGE,
    INDEX,
    INPUT_IDS,
    LABELS,
    OTHER_IMAGES,
    OTHER_TEXTS,
    RENDERING,
    REPORT,
    SIDES_EXCHANGED,
    TEXT_LABELS,
    VIEW,
    Batch,
    subset_of_patients,
)
from datamodules.loading.batch_dataset import BatchDataset
from datamodules.loading.enrichers import Claims, Enricher, ExchangedSides, Images, Texts, UnpairedTexts
from datamodules.loading.epoch_loader import EpochLoader
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.needs import askers, require
from datamodules.loading.sample import LabelledSource, RunSource, SampleSource
from datamodules.loading.samplers import EpochSampler, OrderedSampler
from datamodules.loading.subset_source import SubsetSource
from datamodules.loading.views import Views
from datamodules.texts.claim_reader import ClaimReader
from synthesis.concepts import ConceptCatalog

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

STAGES = ("train", "val", "test")
_SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}
_ALWAYS = frozenset({IMAGE, LABELS, INDEX, GROUP, VIEW})
_TEXTS = frozenset({INPUT_IDS, ATTENTION_MASK, REPORT})


class BatchDataModule(LightningDataModule):
    """Loaders over the sources of three splits; a subclass says what the sources are.

    What a model or an evaluation needs of batches it declares (`NeedsKeys`; `Evaluation.needs`); `setup`
    refuses what this data cannot give, before anything is trained.

    Args:
        catalog: The concepts, in label order.
        loader: How samples are put into batches.
        views: What training is shown of each sample.

    Attributes:
        tokenizer: A `transformers.BertTokenizerFast` once set up; None for image-only data.
        catalog: The concepts, in label order.
        asked: Split → batch keys to supply where there is no trainer whose model and callbacks say it.
    """

    least_samples_in_step = 1
    """Fewest training samples of all ranks in a step that make sense."""

    made = False
    """Whether all pairs are made: see `DataFacts`."""

    questions_sha256: str | None = None
    """See `DataFacts`."""

    def __init__(
        self, catalog: ConceptCatalog, loader: LoaderOptions = LoaderOptions(), views: Views = Views()
    ) -> None:
        super().__init__()
        self.catalog = catalog
        self.loader = loader
        self.views = views
        self.tokenizer: BertTokenizerFast | None = None
        self.asked: Mapping[str, frozenset[str]] = {}

    # -------------------------------------------------------------------------------- what a subclass says
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

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""

    def lacking(self, split: str) -> dict[str, str]:
        """Return why batches of a split cannot hold some keys: key → reason, as the end of a sentence.

        A subclass adds what it cannot give; keys of which no data module knows are refused anyway.
        """
        reasons = {}
        if split != "train":
            evaluated = "evaluation shows each sample once, as it is"
            return dict.fromkeys((OTHER_IMAGES, OTHER_TEXTS, TEXT_LABELS, SIDES_EXCHANGED), evaluated)
        if self.views.augmentation is None and not self.views.renderings:
            reasons[OTHER_IMAGES] = (
                "without an augmentation all views of an image are alike: set "
                "data.init_args.views.augmentation ({} for the default)"
            )
        if len(self.views.texts or ()) < 2:
            reasons[OTHER_TEXTS] = (
                "a report is read as one text: give data.init_args.views.texts two entries or more"
            )
        if TEXT_LABELS in self.needs(split):
            reasons[SIDES_EXCHANGED] = (
                "the texts are of other patients (text_labels), whose sides say nothing about the image: "
                "leave configs/terms/sides.yaml out"
            )
        if RENDERING not in self.supplied(split):
            reasons[RENDERING] = (
                f"{type(self).__name__} cannot draw its patients once more: set it to false, or train on "
                "SyntheticPairs with the simulator"
            )
        return reasons

    def supplied(self, split: str) -> frozenset[str]:
        """Return the keys that batches of a split can hold; a subclass adds its own."""
        keys = _ALWAYS | {OTHER_IMAGES}
        return keys | _TEXTS | {CLAIMS, OTHER_TEXTS, TEXT_LABELS, SIDES_EXCHANGED} if self.has_texts else keys

    @property
    def has_texts(self) -> bool:
        """Whether the samples have reports."""
        return True

    @property
    def filled_splits(self) -> tuple[str, ...]:
        """The splits that have samples."""
        return STAGES

    def prepare_source(self, splits: Sequence[str]) -> None:
        """Make on disk what the samples of some splits need, on one process."""

    def tokenizer_recipe(self) -> dict[str, Any]:
        """Return what the texts of `tokenizer_texts` depend on, JSON-able."""
        return {}

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the texts that a tokenizer is trained on."""
        yield from ()

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """Return what batches of a split hold; a subclass adds its own.

        Args:
            split: "train", "val" or "test".
            source: What the batches are of.
        """
        views, needs = (self.views if split == "train" else Views()), self.needs(split)
        several = max(views.image_views, 2 if {OTHER_IMAGES, RENDERING} & needs else 1)
        images = Images(views.augmentation, several, views.renderings)
        texts = self.texts(split)
        if texts is None:
            return [images]
        found: list[Enricher] = [images, UnpairedTexts(texts, source) if TEXT_LABELS in needs else texts]
        if SIDES_EXCHANGED in needs:
            found.append(ExchangedSides(texts))
        if CLAIMS in needs:
            found.append(Claims(texts.catalog))
        return found

    def texts(self, split: str) -> Texts | None:
        """Return what encodes the reports of a split; None for image-only data."""
        if self.tokenizer is None:
            return None
        chosen = self.views.texts if split == "train" else None
        return Texts(self.tokenizer, self.views.max_length, self.catalog, chosen)

    # ---------------------------------------------------------------------------------------------- needs
    def needs(self, split: str) -> frozenset[str]:
        """Return the batch keys that somebody needs of a split."""
        return frozenset().union(*self._askers(split).values())

    def _askers(self, split: str) -> dict[str, frozenset[str]]:
        found = {"data.asked": self.asked.get(split, frozenset()), **askers(self.trainer, split)}
        if split == "train" and self.views.renderings:
            found["data.init_args.views.renderings=true"] = frozenset({RENDERING})
        return found

    def require(self, split: str) -> None:
        """Make sure that batches of a split can hold what is needed.

        Raises:
            UnmetNeedError: If not.
        """
        name = type(self).__name__
        require(split, self._askers(split), self.supplied(split), self.lacking(split), name)

    def splits_in_use(self) -> tuple[str, ...]:
        """Return the splits that the running subcommand reads; all of them outside a trainer."""
        state = getattr(self.trainer, "state", None)
        running = None if state is None else state.fn
        return STAGES if running is None else _SPLITS.get(running.value, STAGES)

    def prepare_data(self) -> None:
        """Refuse at once what could not be trained; a subclass then makes what it needs on disk.

        Raises:
            UnmetNeedError: If a model or evaluation needs what this data cannot give.
        """
        for split in self.splits_in_use():
            self.require(split)

    def setup(self, stage: str) -> None:
        """Refuse what could not be trained; a subclass then loads its tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".

        Raises:
            UnmetNeedError: If a model or evaluation needs what this data cannot give.
        """
        for split in _SPLITS[stage]:
            self.require(split)

    # ------------------------------------------------------------------------------------------- the facts
    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        """Return the names of the evaluation loaders of a split: see `DataFacts`."""
        return ("",)

    @property
    def augmented(self) -> bool:
        """Whether a training image looks different each time it is shown."""
        return self.views.augmentation is not None

    @property
    def phrases(self) -> Sequence[tuple[str, str]]:
        """Concept and phrase of all regions that have one: see `DataFacts`."""
        return ()

    @property
    def concept_names(self) -> tuple[str, ...]:
        """Names of the concepts, in label order."""
        return self.catalog.names

    def most_labels(self, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return how many positives and negatives of each concept a split holds at most: see `CountsLabels`.

        What pairs show is known only once they are made: then it is as many as there are.
        """
        source = self.source(split)
        if isinstance(source, LabelledSource):
            labels = source.labels()
            return (labels == 1).sum(0), (labels == 0).sum(0)
        everything = np.full(len(self.concept_names), len(source))
        return everything, everything

    def claims(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Read which concepts texts assert and deny: see `ClaimReader`.

        Returns:
            Float32 0/1 of ``(text, concept)`` each.
        """
        return ClaimReader(self.catalog).read(texts)

    # ----------------------------------------------------------------------------------------- the loaders
    def train_dataloader(self) -> EpochLoader:
        """Return full batches of the current epoch, the same number on every rank.

        Raises:
            ValueError: If a step would hold too few samples, or an epoch no step or more than there are.
        """
        rank, world = self.rank_and_world()
        self.check_step(world)
        source, sampler = self.training_order(rank, world)
        return EpochLoader(
            BatchDataset(source, self.enrichers("train", source), self.loader.seed),
            batch_size=self.loader.batch_size,
            sampler=sampler,
            drop_last=True,
            collate_fn=_unchanged,
            num_workers=self.loader.num_workers,
            ahead=self.loader.ahead,
            # Workers outlive an epoch: its number comes with each key.
            persistent_workers=self.loader.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def training_order(self, rank: int, world: int) -> tuple[SampleSource, EpochSampler]:
        """Return the training samples and the order in which a rank sees them."""
        options, source = self.loader, self.source("train")
        epoch_size = len(source) if options.epoch_size is None else options.epoch_size
        if not 0 < epoch_size <= len(source):
            raise ValueError(
                f"an epoch of {epoch_size} samples cannot be taken from {len(source)}; give 1 to "
                f"{len(source)} as loader.epoch_size, or null for all."
            )
        source = self.with_labels(source)
        sampler = EpochSampler(
            len(source),
            options.batch_size,
            options.seed,
            epoch_size,
            rank,
            world,
            options.echo,
            source.runs if isinstance(source, RunSource) else None,
        )
        return source, sampler

    def with_labels(self, source: SampleSource) -> SampleSource:
        """Return the training samples whose labels may be used: see `LoaderOptions.label_fraction`."""
        share = self.loader.label_fraction
        if share == 1:
            return source
        chosen = subset_of_patients(source.groups(), share, self.loader.seed)
        return SubsetSource(source, np.flatnonzero(chosen))

    def check_step(self, world: int) -> None:
        """Refuse steps of fewer samples than make sense.

        Raises:
            ValueError: If a step of all ranks holds too few.
        """
        if self.loader.batch_size * world < self.least_samples_in_step:
            raise ValueError(
                f"batch_size={self.loader.batch_size} on {world} rank: a contrastive loss compares each pair "
                f"with the others of its step; a step of one has none, so nothing would be learnt. Give "
                f"batch_size={self.least_samples_in_step} or more."
            )

    def val_dataloader(self) -> Any:
        """Return the validation split, in order; a list of loaders where there are several sources."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> Any:
        """Return the test split, in order; a list of loaders where there are several sources."""
        return self.eval_dataloader("test")

    def predict_dataloader(self) -> Any:
        """Return the test split, in order."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: str) -> Any:
        """Return the samples of a split in order, nothing dropped; a list of loaders for several sources."""
        source = self.source(split)
        return self.ordered_loader(source, self.enrichers(split, source))

    def ordered_loader(self, source: SampleSource, enrichers: Sequence[Enricher]) -> DataLoader[Batch]:
        """Return the samples of a source in order, nothing dropped."""
        return DataLoader(
            BatchDataset(source, enrichers, self.loader.seed),
            batch_size=self.loader.evaluated_at_once,
            sampler=OrderedSampler(len(source), *self.rank_and_world()),
            collate_fn=_unchanged,
            num_workers=self.loader.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def rank_and_world(self) -> tuple[int, int]:
        """Return the number of this process and of all; (0, 1) outside a trainer."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)


def _unchanged(batch: Any) -> Any:
    """Return the batch as the dataset has put it together."""
    return batch
