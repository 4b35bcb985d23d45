"""Made pairs as training data: on the fly or from a cache, the same pairs either way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from datamodules.batch import (
    MIRRORED_TWINS,
    ORGANS,
    PRIOR,
    QUESTION,
    QUESTION_TWIN,
    RENDERING,
    SWAPPED_TWINS,
    TWIN_PROMPTS,
    TWINS,
    TwinKey,
)
from datamodules.loading.batch_data_module import STAGES
from datamodules.loading.enrichers import PRIOR_KEYS, Enricher, Images, Organs, Priors, TwinPairs, TwinPrompts
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import SampleSource
from datamodules.loading.samplers import ECHO_ROWS, ECHO_SPAN
from datamodules.loading.views import Views
from datamodules.made.made_pairs import MadePairs
from datamodules.made.pair_source import PairSource, ReadPairs
from datamodules.made.recent_pairs import RecentPairs
from datamodules.texts.question_writer import QuestionWriter
from datamodules.texts.text_view import full_text
from datamodules.texts.tokenizer_options import TokenizerOptions
from synthesis.cases import UniformCaseSampler
from synthesis.counterparts import TwinKind
from synthesis.identity import identity, json_sha256
from synthesis.images.image_maker import (
    OrganImageMaker,
    RerenderingImageMaker,
    RevisitingImageMaker,
    TwinImageMaker,
)
from synthesis.limits import at_least
from synthesis.organs import OrganSynthesizer
from synthesis.pairs import PairSynthesizer
from synthesis.priors import PriorSynthesizer
from synthesis.question_twins import QuestionTwinSynthesizer
from synthesis.renderings import RenderingSynthesizer
from synthesis.reports.report_writer import ReportWriter
from synthesis.seeding import pair_seed
from synthesis.store import Maker, PairStore, StorePlan, cache_directory, fill_cache
from synthesis.twins import TwinSynthesizer

_TWINS: dict[TwinKey, TwinKind] = {TWINS: "without", SWAPPED_TWINS: "swap", MIRRORED_TWINS: "side"}
_CHUNK = 1024  # reports written in one call for the tokenizer


class SyntheticPairs(MadePairs):
    """Pairs of a synthesizer. Pair ``i`` of a split is a pure function of (synthesizer, seed, split, i).

    Args:
        synthesizer: Makes the pairs.
        train_pairs: Size of the training corpus.
        val_pairs: Pairs of the validation split.
        test_pairs: Pairs of the test split.
        loader: How pairs are put into batches. Its ``seed`` is also that of the pairs; its workers fill the
            cache too; with ``echo`` an epoch makes ``epoch_size / echo`` pairs.
        views: What training is shown of each pair.
        tokenizer: Which tokenizer reads the reports; None trains one on reports of the writer.
        tokenizer_reports: Reports that it is trained on.
        tokenizer_writer: Writes them; None takes the writer of the synthesizer. A language model is slow, and
            the grammar's reports have the same words.
        cache_dir: Where finished pairs are kept; None makes every pair anew each time. The only switch:
            nothing else changes. Twins go through the cache too.
        artifacts_dir: Directory of the trained tokenizer.
        questions: See `MadePairs`.
    """

    def __init__(
        self,
        synthesizer: PairSynthesizer,
        train_pairs: int,
        val_pairs: int = 1000,
        test_pairs: int = 1000,
        loader: LoaderOptions = LoaderOptions(),
        views: Views = Views(),
        tokenizer: TokenizerOptions = TokenizerOptions(),
        tokenizer_reports: int = 5_000,
        tokenizer_writer: ReportWriter | None = None,
        cache_dir: str | Path | None = None,
        artifacts_dir: str | Path = "artifacts",
        questions: QuestionWriter | None = None,
    ) -> None:
        at_least(self, 1, tokenizer_reports=tokenizer_reports)
        super().__init__(synthesizer.catalog, loader, views, questions)
        self.synthesizer = synthesizer
        device = getattr(synthesizer.image_maker, "device", torch.device("cpu"))
        if loader.ahead and cache_dir is None and torch.device(device).type == "cpu":
            raise ValueError(
                f"loader.ahead=true: {type(synthesizer.image_maker).__name__} draws on the CPU, where it "
                "changes the number of threads of the step that runs meanwhile. Give the image maker device: "
                "cuda, or take loader.num_workers instead."
            )
        self.sizes = dict(zip(STAGES, (train_pairs, val_pairs, test_pairs), strict=True))
        for split, size in self.sizes.items():
            if size < 1:
                raise ValueError(f"{split}_pairs={size}: a split holds at least one pair; give 1 or more.")
        self.tokenizer_options = tokenizer
        self.tokenizer_reports = tokenizer_reports
        self.tokenizer_writer = tokenizer_writer
        self.cache_dir = cache_dir
        self.artifacts_dir = Path(artifacts_dir)

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.synthesizer.image_size

    def companion_makers(self, split: str) -> dict[str, Maker]:
        """Return what makes the companions that are needed of a split, such as twins, by batch key."""
        needs = self.needs(split)
        makers: dict[str, Maker] = {
            key: TwinSynthesizer(self.synthesizer, kind) for key, kind in _TWINS.items() if key in needs
        }
        makers |= {PRIOR: PriorSynthesizer(self.synthesizer)} if PRIOR_KEYS & needs else {}
        makers |= {ORGANS: OrganSynthesizer(self.synthesizer)} if ORGANS in needs else {}
        maker = self.synthesizer.image_maker
        if (
            QUESTION in needs
            and isinstance(maker, TwinImageMaker)
            and isinstance(maker, RevisitingImageMaker)
        ):
            makers[QUESTION_TWIN] = QuestionTwinSynthesizer(self.synthesizer)
        return makers | ({RENDERING: RenderingSynthesizer(self.synthesizer)} if RENDERING in needs else {})

    # ----------------------------------------------------------------------------------------------- needs
    def supplied(self, split: str) -> frozenset[str]:
        """See `BatchDataModule.supplied`."""
        return super().supplied(split) | _TWINS.keys() | PRIOR_KEYS | {ORGANS, RENDERING, TWIN_PROMPTS}

    def lacking(self, split: str) -> dict[str, str]:
        """See `BatchDataModule.lacking`."""
        reasons, maker = super().lacking(split), self.synthesizer.image_maker
        if not isinstance(maker, TwinImageMaker):
            reason = (
                f"{type(maker).__name__} cannot switch a finding off (it has no method `twins`): take the "
                "simulator as image_maker"
            )
            reasons |= dict.fromkeys((*_TWINS, TWIN_PROMPTS), reason)
        if not isinstance(maker, RevisitingImageMaker):
            reason = (
                f"{type(maker).__name__} cannot draw a patient at another visit (it has no method "
                "`revisit`): take the simulator as image_maker"
            )
            reasons |= dict.fromkeys(PRIOR_KEYS, reason)
        if not isinstance(maker, OrganImageMaker):
            reasons[ORGANS] = (
                f"{type(maker).__name__} does not know where organs are (it has no method `organs`): take "
                "the simulator as image_maker"
            )
        if not isinstance(maker, RerenderingImageMaker):
            reasons[RENDERING] = (
                f"{type(maker).__name__} cannot draw a patient once more (it has no method `rerender`): set "
                "it to false, or take the simulator as image_maker"
            )
        return reasons

    def enrichers(self, split: str, source: SampleSource) -> list[Enricher]:
        """See `BatchDataModule.enrichers`."""
        enrichers, texts = super().enrichers(split, source), self.texts(split)
        images = Images(self.views.augmentation if split == "train" else None)
        needs = self.needs(split)
        if texts is not None:
            enrichers += [TwinPairs(images, texts, self.catalog, key) for key in _TWINS if key in needs]
            enrichers += [TwinPrompts(texts, self.catalog)] if TWIN_PROMPTS in needs else []
        if ORGANS in needs:
            enrichers.append(Organs(images.augmentation))
        return [*enrichers, Priors(images, self.catalog)] if PRIOR_KEYS & needs else enrichers

    # ------------------------------------------------------------------------------------ what is on disk
    def prepare_data(self) -> None:
        """Train the tokenizer and fill the cache, where they are asked for and not there yet."""
        super().prepare_data()
        self.prepare_source(self.splits_in_use())
        self.tokenizer_options.store(self.artifacts_dir, self.tokenizer_recipe(), self.tokenizer_texts)

    def prepare_source(self, splits: Sequence[str]) -> None:
        """Fill the cache of some splits, if there is to be one."""
        if self.cache_dir is None:
            return
        for split in splits:
            for maker in (self.synthesizer, *self.companion_makers(split).values()):
                fill_cache(self.cache_dir, self._plan(maker, split), self.loader.num_workers)

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        super().setup(stage)
        if self.tokenizer is None:
            self.tokenizer = self.tokenizer_options.load(self.artifacts_dir, self.tokenizer_recipe())

    def source(self, split: str) -> PairSource:
        """Return the pairs of "train", "val" or "test"."""
        masks = self.keeps_masks(split)
        companions = {
            key: self._reader(maker, split, key == ORGANS)
            for key, maker in self.companion_makers(split).items()
        }
        read = self._reader(self.synthesizer, split, masks)
        return PairSource(read, self.sizes[split], self.catalog, masks, companions)

    def _reader(self, maker: Maker, split: str, masks: bool) -> ReadPairs:
        if self.cache_dir is None:
            made = partial(maker.make, seed=self.loader.seed, split=split)
            shown_again = self.loader.echo > 1 and split == "train" and not masks  # which are not kept
            return RecentPairs(made, ECHO_ROWS * ECHO_SPAN * self.loader.batch_size) if shown_again else made
        recipe = self._plan(maker, split).recipe()
        return partial(PairStore(cache_directory(self.cache_dir, recipe, split), recipe).stored, masks=masks)

    def _plan(self, maker: Maker, split: str) -> StorePlan:
        return StorePlan(maker, self.sizes[split], self.loader.seed, split)

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of the recipe and the size of a split."""
        recipe = self._plan(self.synthesizer, split).recipe()
        return json_sha256({"recipe": recipe, "split": split, "pairs": self.sizes[split]})

    # --------------------------------------------------------------------------------------- the tokenizer
    def tokenizer_recipe(self) -> dict[str, Any]:
        """Return what the tokenizer's texts depend on: neither the sampler, nor the seed, nor any damage.

        So corpora that are compared with each other, and those that models are tested on, have one tokenizer.
        """
        made_by = self.synthesizer.describe()
        corpus = {"reports": self.tokenizer_reports, **{k: made_by[k] for k in ("catalog", "writer")}}
        if self.tokenizer_writer is not None:
            corpus["writer"] = identity(self.tokenizer_writer)
        return corpus

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the texts that a tokenizer is trained on: reports of cases drawn for it alone."""
        sampler = UniformCaseSampler(self.catalog.path)
        writer = self.tokenizer_writer or self.synthesizer.writer
        for start in range(0, self.tokenizer_reports, _CHUNK):
            indices = range(start, min(start + _CHUNK, self.tokenizer_reports))
            cases = [sampler.sample(0, "tokenizer", i) for i in indices]
            seeds = [pair_seed(0, "tokenizer", i) for i in indices]
            reports = writer.write(cases, seeds)
            yield from (full_text(report) for report in reports if not report.dropped)
