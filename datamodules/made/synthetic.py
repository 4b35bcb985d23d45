"""Made pairs as training data: on the fly or from a cache, the same pairs either way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.loading.augmentation import Augmentation
from datamodules.loading.base import STAGES, BatchDataModule
from datamodules.loading.dataset import BatchDataset
from datamodules.loading.samplers import ECHO_ROWS, ECHO_SPAN
from datamodules.made.pair_source import PairSource
from datamodules.made.recent_pairs import RecentPairs
from datamodules.texts.question_writer import QuestionWriter
from datamodules.texts.text_view import TextView, full_text
from datamodules.texts.tokenizer import load_tokenizer, store_tokenizer, tokenizer_directory
from synthesis.cases import UniformCaseSampler
from synthesis.identity import identity, json_sha256
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.reports.report_writer import ReportWriter
from synthesis.seeding import pair_seed
from synthesis.store import PairStore, StorePlan, cache_directory, fill_cache
from synthesis.twins import TwinSynthesizer

_CHUNK = 1024  # reports written in one call for the tokenizer


class SyntheticPairs(BatchDataModule):
    """Pairs of a synthesizer. Pair ``i`` of a split is a pure function of (synthesizer, seed, split, i).

    Args:
        synthesizer: Makes the pairs.
        train_pairs: Size of the training corpus.
        epoch_pairs: Pairs of an epoch over all ranks, ≤ ``train_pairs``: a seeded permutation of the corpus
            is walked so many at a time. None takes all.
        val_pairs: Pairs of the validation split.
        test_pairs: Pairs of the test split.
        batch_size: Training pairs of one rank in a step.
        eval_batch_size: Evaluation pairs of one rank in a step; None takes ``batch_size``. No result depends
            on it.
        num_workers: Processes that make batches (or fill the cache), a loader; 0 makes them in the training
            process.
        seed: Seed of the corpus, of its order and of what varies between epochs.
        cache_dir: Where finished pairs are kept; None makes every pair anew each time. The only switch:
            nothing else changes.
        artifacts_dir: Where the trained tokenizer is kept.
        tokenizer: Directory (or hub name) of a tokenizer; None trains one on reports of the writer.
        vocab_size: Entries of the trained tokenizer.
        tokenizer_reports: Reports that it is trained on.
        tokenizer_writer: Writes them; None takes the writer of the synthesizer. A language model is slow, and
            the grammar's reports have the same words.
        max_length: Longest text in tokens, a multiple of 8.
        text_views: What training reads of a report, one text a view: each is compared with the image, which
            is encoded once. None reads all of it.
        augmentation: How training changes images; None leaves them.
        masks: Whether evaluation batches hold the masks of the findings.
        train_masks: Whether training batches do, too; augmentation must not move anything then.
        echo: How often an epoch shows each of its pairs, in other company and with other augmentations and
            texts: it makes ``epoch_pairs / echo`` pairs, see `EpochSampler`.
        image_views: Training augmentations of each image, ≥ 1: more than one for objectives that compare
            them.
        unpaired: Whether training reads the reports of other patients than it sees, for objectives that need
            no pairs.
        twins: Whether batches hold the counterfactual twin of each pair: the same patient with one finding
            switched off, and the report of that (see `TwinSynthesizer`). Twins go through the cache too.
        questions: Asks a closed question about each image; batches then encode it instead of the report.
        label_fraction: Share of the training pairs that are trained on, in (0, 1]; epochs stay as long.

    Raises:
        TypeError: If twins are asked for, but the image maker cannot switch a finding off.
    """

    least_samples_in_step = 2
    made = True

    def __init__(
        self,
        synthesizer: PairSynthesizer,
        train_pairs: int,
        epoch_pairs: int | None = None,
        val_pairs: int = 1000,
        test_pairs: int = 1000,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | Path | None = None,
        artifacts_dir: str | Path = "artifacts",
        tokenizer: str | None = None,
        vocab_size: int = 4096,
        tokenizer_reports: int = 5_000,
        tokenizer_writer: ReportWriter | None = None,
        max_length: int = 192,
        text_views: Sequence[TextView] | None = None,
        augmentation: Augmentation | None = None,
        masks: bool = False,
        train_masks: bool = False,
        echo: int = 1,
        image_views: int = 1,
        unpaired: bool = False,
        twins: bool = False,
        questions: QuestionWriter | None = None,
        label_fraction: float = 1.0,
    ) -> None:
        catalog = synthesizer.catalog
        super().__init__(
            catalog,
            batch_size,
            eval_batch_size,
            epoch_pairs,
            num_workers,
            seed,
            max_length,
            text_views,
            augmentation,
            echo,
            image_views,
            unpaired,
            label_fraction,
        )
        if train_masks and augmentation is not None and augmentation.moves:
            raise ValueError(
                f"train_masks=true, but {augmentation} moves images and not their masks: set its scale and "
                "shift to 0."
            )
        self.synthesizer = synthesizer
        self.twins = TwinSynthesizer(synthesizer) if twins else None
        self.sizes = dict(zip(STAGES, (train_pairs, val_pairs, test_pairs), strict=True))
        for split, size in self.sizes.items():
            if size < 1:
                raise ValueError(f"{split}_pairs={size}: a split holds at least one pair; give 1 or more.")
        self.cache_dir = cache_dir
        self.artifacts_dir = Path(artifacts_dir)
        self.tokenizer_name = tokenizer
        self.vocab_size = vocab_size
        self.tokenizer_reports = tokenizer_reports
        self.tokenizer_writer = tokenizer_writer
        self.masks = masks
        self.train_masks = train_masks
        self.questions = questions
        self.questions_sha256 = None if questions is None else questions.sha256

    def prepare_data(self) -> None:
        """Train the tokenizer and fill the cache, where they are asked for and not there yet."""
        if self.tokenizer_name is None:
            store_tokenizer(self.artifacts_dir, self._corpus(), self._texts, self.vocab_size)
        if self.cache_dir is not None:
            for split in self._splits_in_use():
                for maker in (self.synthesizer, self.twins):
                    if maker is not None:
                        fill_cache(self.cache_dir, self._plan(maker, split), self.num_workers)

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        if self.tokenizer is None:
            trained = tokenizer_directory(self.artifacts_dir, self._corpus(), self.vocab_size)
            self.tokenizer = load_tokenizer(self.tokenizer_name or trained)

    def source(self, split: str) -> PairSource:
        """Return the pairs of "train", "val" or "test"."""
        masks = self.train_masks if split == "train" else self.masks
        read = self._reader(self.synthesizer, split, masks)
        read_twins = None if self.twins is None else self._reader(self.twins, split, masks=False)
        return PairSource(read, self.sizes[split], self.catalog, masks, read_twins)

    def _reader(
        self, maker: PairSynthesizer | TwinSynthesizer, split: str, masks: bool
    ) -> Callable[[Sequence[int]], list[Pair]]:
        if self.cache_dir is None:
            made: Callable[[Sequence[int]], list[Pair]] = partial(maker.make, seed=self.seed, split=split)
            shown_again = self.echo > 1 and split == "train" and not masks  # which are not kept
            return RecentPairs(made, ECHO_ROWS * ECHO_SPAN * self.batch_size) if shown_again else made
        recipe = self._plan(maker, split).recipe()
        return partial(PairStore(cache_directory(self.cache_dir, recipe, split), recipe).pairs, masks=masks)

    def _plan(self, maker: PairSynthesizer | TwinSynthesizer, split: str) -> StorePlan:
        return StorePlan(maker, self.sizes[split], self.seed, split)

    def _dataset(self, *args: Any, **kwargs: Any) -> BatchDataset:
        dataset = super()._dataset(*args, **kwargs)
        dataset.questions = self.questions
        return dataset

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of the recipe and the size of a split."""
        content = {
            "recipe": self._plan(self.synthesizer, split).recipe(),
            "split": split,
            "pairs": self.sizes[split],
        }
        return json_sha256(content)

    def _splits_in_use(self) -> tuple[str, ...]:
        stages = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}
        running = None if self.trainer is None else self.trainer.state.fn
        return STAGES if running is None else stages.get(running.value, STAGES)

    def _corpus(self) -> dict[str, Any]:
        """What the texts of the tokenizer depend on: neither the sampler, nor the seed, nor any damage.

        So corpora that are compared with each other, and those that models are tested on, have one tokenizer.
        """
        made_by = self.synthesizer.describe()
        corpus = {"reports": self.tokenizer_reports, **{k: made_by[k] for k in ("catalog", "writer")}}
        return (
            corpus if self.tokenizer_writer is None else {**corpus, "writer": identity(self.tokenizer_writer)}
        )

    def _texts(self) -> Iterator[str]:
        sampler = UniformCaseSampler(self.catalog.path)
        writer = self.tokenizer_writer or self.synthesizer.writer
        for start in range(0, self.tokenizer_reports, _CHUNK):
            indices = range(start, min(start + _CHUNK, self.tokenizer_reports))
            cases = [sampler.sample(0, "tokenizer", i) for i in indices]
            seeds = [pair_seed(0, "tokenizer", i) for i in indices]
            reports = writer.write(cases, seeds)
            yield from (full_text(report) for report in reports if not report.dropped)
