"""Several sources of pairs, mixed: real and made ones, say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from datamodules.batch import (
    BOXES,
    OTHER_IMAGES,
    OTHER_TEXTS,
    RENDERING,
    SIDES_EXCHANGED,
    SOURCE,
    TWIN_PROMPTS,
    Batch,
)
from datamodules.loading.batch_data_module import BatchDataModule
from datamodules.loading.enrichers import TWIN_KEYS, Enricher, Images, Masks, TwinPairs, TwinPrompts
from datamodules.loading.enrichers.masks import MASK_KEYS, boxes_left_behind
from datamodules.loading.enrichers.source_numbers import SourceNumbers
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import RunSource, SampleSource
from datamodules.loading.views import Views
from datamodules.made.mixed_sampler import MixedSampler
from datamodules.made.mixed_source import MixedSource
from datamodules.made.mixture import Mixture
from datamodules.texts.tokenizer_options import TokenizerOptions
from synthesis.identity import json_sha256

_OWN_KEYS = {OTHER_IMAGES, OTHER_TEXTS, SIDES_EXCHANGED, SOURCE}  # which no source has a part in


class MixedPairs(BatchDataModule):
    """Trains on several data modules at once; validates and tests on each by itself.

    A training batch says of each pair which source it is of (``source``, the position among ``sources``). The
    figures of the first source that has a split are called as ever; those of the others carry their name
    (``val/zero_shot@hospital/auroc_macro``).

    A need of a model is met if every training source meets it; twins and other renderings may be missing in
    some: a pair without one stands there unchanged, of renderings augmented otherwise.

    Args:
        sources: Name → data module. Its own ``loader`` says its seed, its share of labels and, of made pairs,
            how many processes fill its cache; batches, views and tokenizer are those given here.
        weights: Name → weight in an epoch, in any unit: ``{hospital: 1, simulated: 3}``. A source without
            one, or of weight 0, is evaluated only.
        counts: In place of weights: name → pairs in an epoch over all ranks.
        pass_of: Name of the source that an epoch goes through once, the others by their weight beside it:
            mixtures are then matched in epochs of that source. None matches them in steps:
            ``loader.epoch_size`` pairs an epoch (all, if it is null), whatever is mixed.
        loader: How pairs are put into batches; without ``echo`` and ``label_fraction`` (sources have one).
        views: What training is shown of each pair.
        tokenizer: Which tokenizer reads the reports; without a path one is trained on those of the training
            sources.
        artifacts_dir: Directory of the trained tokenizer.

    Raises:
        ValueError: If sources, weights or counts cannot be mixed.
    """

    least_samples_in_step = 2

    def __init__(
        self,
        sources: dict[str, LightningDataModule],
        weights: dict[str, float] | None = None,
        counts: dict[str, int] | None = None,
        pass_of: str | None = None,
        loader: LoaderOptions = LoaderOptions(),
        views: Views = Views(),
        tokenizer: TokenizerOptions = TokenizerOptions(),
        artifacts_dir: str | Path = "artifacts",
    ) -> None:
        self.sources = _checked_sources(sources)
        super().__init__(next(iter(self.sources.values())).catalog, loader, views)
        self.mixture = Mixture.of(self.sources, weights, counts, pass_of)
        if silent := [name for name, source in self.training_sources.items() if not source.has_texts]:
            raise ValueError(
                f"sources.{silent[0]} ({type(self.sources[silent[0]]).__name__}) has no reports to train on: "
                "give it weight 0, which evaluates on it only, or take ImageReports."
            )
        if loader.echo != 1 or loader.label_fraction != 1:
            raise ValueError(
                f"loader.echo={loader.echo}, loader.label_fraction={loader.label_fraction}: a mixture has "
                "neither; leave them at 1, and set label_fraction in the loader of the source that it is for."
            )
        self.tokenizer_options = tokenizer
        self.artifacts_dir = Path(artifacts_dir)

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return next(iter(self.sources.values())).image_size

    @property
    def made(self) -> bool:  # type: ignore[override]
        """Whether the pairs of all sources are made."""
        return all(source.made for source in self.sources.values())

    @property
    def has_texts(self) -> bool:
        """Whether the training sources have reports."""
        return all(source.has_texts for source in self.training_sources.values())

    @property
    def training_sources(self) -> dict[str, BatchDataModule]:
        """The sources that are trained on."""
        return {
            name: source for name, source in self.sources.items() if self.mixture.weights.get(name, 0) > 0
        }

    # ----------------------------------------------------------------------------------------------- needs
    def supplied(self, split: str) -> frozenset[str]:
        """See `BatchDataModule.supplied`."""
        each = [source.supplied(split) for source in self._of(split).values()]
        return super().supplied(split) | frozenset().union(*each) | {SOURCE}

    def lacking(self, split: str) -> dict[str, str]:
        """See `BatchDataModule.lacking`."""
        reasons = super().lacking(split)
        if any(BOXES in source.supplied(split) for source in self._of(split).values()):
            reasons |= boxes_left_behind(split, self.views)
        for key in self.needs(split) - reasons.keys() - _OWN_KEYS:
            missing = {
                name: source.lacking(split).get(key, f"{type(source).__name__} has none")
                for name, source in self._of(split).items()
                if key not in source.supplied(split) or key in source.lacking(split)
            }
            told_apart = key == RENDERING and self.views.augmentation is not None
            optional = key in (*TWIN_KEYS, TWIN_PROMPTS) or told_apart
            if missing and not (optional and len(missing) < len(self._of(split))):
                name, reason = next(iter(missing.items()))
                reasons[key] = f"source {name!r} cannot give it: {reason}"
        return reasons

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """See `BatchDataModule.enrichers`."""
        enrichers, texts, needs = super().enrichers(split, source), self.texts(split), self.needs(split)
        augmentation = self.views.augmentation if split == "train" else None
        enrichers.append(Masks(bool(MASK_KEYS & needs), augmentation))
        if texts is not None:
            images = Images(augmentation)
            enrichers += [TwinPairs(images, texts, self.catalog, key) for key in TWIN_KEYS if key in needs]
            enrichers += [TwinPrompts(texts, self.catalog)] if TWIN_PROMPTS in needs else []
        return [*enrichers, SourceNumbers()]

    def _of(self, split: str) -> dict[str, BatchDataModule]:
        """Return the sources that a split is of."""
        self._ask(split)
        if split == "train":
            return self.training_sources
        return {name: source for name, source in self.sources.items() if split in source.filled_splits}

    def _ask(self, split: str) -> None:
        """Tell the sources what is needed of them."""
        for source in self.sources.values():
            met = self.needs(split) & source.supplied(split) - source.lacking(split).keys()
            source.asked = {**source.asked, split: met}

    # ------------------------------------------------------------------------------------- what is on disk
    def prepare_data(self) -> None:
        """Make ready what the sources need on disk, and train the tokenizer."""
        in_use = self.splits_in_use()
        for split in in_use:
            self._ask(split)
        for source in self.sources.values():
            source.prepare_source(in_use)
        super().prepare_data()
        self.tokenizer_options.store(self.artifacts_dir, self.tokenizer_recipe(), self.tokenizer_texts)

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        super().setup(stage)
        if self.tokenizer is None:
            self.tokenizer = self.tokenizer_options.load(self.artifacts_dir, self.tokenizer_recipe())

    def tokenizer_recipe(self) -> dict[str, Any]:
        """Return what the texts of the tokenizer depend on."""
        return {name: source.tokenizer_recipe() for name, source in self.training_sources.items()}

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the texts that a tokenizer is trained on: those of each training source."""
        for source in self.training_sources.values():
            yield from source.tokenizer_texts()

    # ---------------------------------------------------------------------------------------- the loaders
    def source(self, split: str) -> MixedSource:
        """Return the samples of all sources of a split, one source after the other."""
        return MixedSource([source.source(split) for source in self._of(split).values()])

    def training_order(self, rank: int, world: int) -> tuple[SampleSource, MixedSampler]:
        """See `BatchDataModule.training_order`."""
        parts = {name: m.with_labels(m.source("train")) for name, m in self._of("train").items()}
        sizes = {name: len(part) for name, part in parts.items()}
        runs = {name: part.runs for name, part in parts.items() if isinstance(part, RunSource)}
        options = self.loader
        counts = self.mixture.epoch_counts(sizes, options.epoch_size)
        sampler = MixedSampler(sizes, counts, options.batch_size, options.seed, rank, world, runs)
        return MixedSource(list(parts.values())), sampler

    def eval_dataloader(self, split: str) -> Any:
        """Return a loader for each source that has the split, in the order of `evaluation_sources`."""
        return [self._eval_loader(source, split) for source in self._of(split).values()]

    def _eval_loader(self, module: BatchDataModule, split: str) -> DataLoader[Batch]:
        source = module.source(split)
        enrichers = self.enrichers(split, source)
        if not module.has_texts:
            enrichers = [Images(), Masks()]
        return self.ordered_loader(source, enrichers)

    # ------------------------------------------------------------------------------------------- the facts
    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        """Return the names of the sources that have a split, in order."""
        return tuple(self._of(split))

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of a split of a source; in training, of all sources and their weights."""
        if split == "train":
            each = {name: m.split_sha256(split) for name, m in self.training_sources.items()}
            return json_sha256({"sources": each, "weights": self.mixture.weights})
        return self.sources[source or self.evaluation_sources(split)[0]].split_sha256(split)


def _checked_sources(sources: Mapping[str, LightningDataModule]) -> dict[str, BatchDataModule]:
    """Refuse sources that cannot stand in one batch."""
    checked: dict[str, BatchDataModule] = {}
    for name, source in sources.items():
        if not isinstance(source, BatchDataModule) or isinstance(source, MixedPairs):
            raise ValueError(
                f"sources.{name}: a {type(source).__name__} cannot be mixed; give one of SyntheticPairs, "
                "CorpusPairs, ImageReports, LabelledImages."
            )
        checked[name] = source
        if "/" in name or "@" in name or not name:
            raise ValueError(f"sources: {name!r} stands in names of metrics; give one without / and @.")
    if not checked:
        raise ValueError("sources: none is given; give one or more, each with a name.")
    first = next(iter(checked))
    for name in checked:
        for what in ("catalog.sha256", "image_size"):
            here, there = (_value(checked[n], what) for n in (name, first))
            if here != there:
                raise ValueError(
                    f"sources.{name} has {what} {here}, sources.{first} has {there}: it has to be the same "
                    "in all sources; set it alike."
                )
    return checked


def _value(source: BatchDataModule, what: str) -> Any:
    return source.catalog.sha256 if what == "catalog.sha256" else source.image_size
