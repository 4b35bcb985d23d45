"""Pairs of a corpus on disk: of `make corpus`, or anybody's tars and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.batch import ANSWER, LABELS, QUESTION, QUESTION_KIND
from datamodules.loading.batch_data_module import STAGES
from datamodules.loading.enrichers.masks import MASK_KEYS
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.sample import SampleSource
from datamodules.loading.views import Views
from datamodules.made.corpus import Corpus, Indices, corpus_files
from datamodules.made.corpus_columns import CorpusColumns
from datamodules.made.corpus_error import CorpusError
from datamodules.made.made_pairs import MadePairs
from datamodules.made.row_reader import RowReader
from datamodules.made.store_corpus import StoreCorpus
from datamodules.made.streamed_corpus import StreamedCorpus
from datamodules.made.table_corpus import TableCorpus
from datamodules.tables.image_file import Fit
from datamodules.tables.splits import check_fractions, split_of
from datamodules.texts.question_writer import QuestionWriter
from datamodules.texts.tokenizer_options import TokenizerOptions
from synthesis.concepts import ConceptCatalog
from synthesis.identity import json_sha256
from synthesis.limits import at_least


class CorpusPairs(MadePairs):
    """Pairs of a finished corpus: a store (with masks), tars in img2dataset's layout, or Parquet files.

    The three forms that `make corpus` leaves of a corpus give the same samples in the same order, but that
    tars and Parquet files have no masks. Other people's tars and Parquet files are read by a map of columns.

    Args:
        path: A directory, or a pattern of files. One for each split ("train", "val", "test"), or a single one
            whose pairs are dealt out to the splits by a hash of their number.
        image_size: Height and width of the images, in pixels.
        columns: Which column means what, for tars and Parquet files.
        splits: "train", "val" and "test" → expected share of the pairs of a single path.
        split_salt: Other salts, other splits.
        stream: Whether training reads tars or Parquet files file by file, with a few in memory, see
            `StreamedCorpus`. Otherwise they are written once more, for random access, see `TableCorpus`.
        fit: How a rectangle becomes a square: see `read_radiograph`.
        catalog: Catalogue file; None takes the one shipped.
        loader: How pairs are put into batches.
        views: What training is shown of each pair.
        tokenizer: Which tokenizer reads the reports; without a path one is trained on the training reports.
        tokenizer_reports: How many of these.
        artifacts_dir: Where the trained tokenizer, and files for random access, are kept.
        questions: See `MadePairs`.

    Raises:
        ValueError: If a split is unknown, or shares do not sum to 1.
    """

    def __init__(
        self,
        path: str | Mapping[str, str],
        image_size: int,
        columns: CorpusColumns = CorpusColumns(),
        splits: Mapping[str, float] | None = None,
        split_salt: str = "synvlp",
        stream: bool = False,
        fit: Fit = "crop",
        catalog: str | Path | None = None,
        loader: LoaderOptions = LoaderOptions(),
        views: Views = Views(),
        tokenizer: TokenizerOptions = TokenizerOptions(),
        tokenizer_reports: int = 5_000,
        artifacts_dir: str | Path = "artifacts",
        questions: QuestionWriter | None = None,
    ) -> None:
        at_least(self, 1, image_size=image_size, tokenizer_reports=tokenizer_reports)
        super().__init__(ConceptCatalog.load(catalog), loader, views, questions)
        self.paths = {} if isinstance(path, str) else dict(path)
        self.path = path if isinstance(path, str) else None
        if unknown := [split for split in self.paths if split not in STAGES]:
            raise ValueError(f"path: unknown split {unknown[0]!r}; use {', '.join(STAGES)}.")
        self.splits = dict(splits or {"train": 0.8, "val": 0.1, "test": 0.1})
        check_fractions(self.splits, STAGES)
        self._image_size = image_size
        self.columns = columns
        self.split_salt = split_salt
        self.stream = stream
        self.fit = fit
        self.tokenizer_options = tokenizer
        self.tokenizer_reports = tokenizer_reports
        self.artifacts_dir = Path(artifacts_dir)
        self._opened: dict[tuple[str, bool], Corpus] = {}

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self._image_size

    @property
    def made(self) -> bool:  # type: ignore[override]
        """Whether the pairs are made, so that their cases are known."""
        return self.columns.case is not None and self._corpus(self.filled_splits[0]).made

    @property
    def filled_splits(self) -> tuple[str, ...]:
        """The splits that have pairs."""
        if self.path is None:
            return tuple(split for split in STAGES if split in self.paths)
        return tuple(split for split in STAGES if self.splits.get(split, 0) > 0)

    def lacking(self, split: str) -> dict[str, str]:
        """See `BatchDataModule.lacking`."""
        reasons = super().lacking(split)
        if split not in self.filled_splits:
            return reasons
        if not self._corpus(split).has_masks:
            reason = (
                f"{self._path(split)} has no masks: take the store of the corpus (…/train), or leave it out"
            )
            reasons |= dict.fromkeys(MASK_KEYS, reason)
        if not self._corpus(split).made:
            reason = f"the cases of {self._path(split)} are not known: set data.init_args.columns.case"
            reasons |= dict.fromkeys((QUESTION, QUESTION_KIND, ANSWER), reason)
            if self.columns.concepts is None:
                reasons[LABELS] = (
                    f"{self._path(split)} is read without labels: set data.init_args.columns.concepts"
                )
        return reasons

    def prepare_data(self) -> None:
        """Open the corpora, make them ready for random access, and train the tokenizer.

        Raises:
            CorpusError: If one cannot be used.
        """
        super().prepare_data()
        self.prepare_source(self.splits_in_use())
        self.tokenizer_options.store(self.artifacts_dir, self.tokenizer_recipe(), self.tokenizer_texts)

    def prepare_source(self, splits: Sequence[str]) -> None:
        """Open the corpora of some splits; files for random access are written here, on one process."""
        for split in splits:
            if split in self.filled_splits:
                len(self._corpus(split))

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        super().setup(stage)
        if self.tokenizer is None:
            self.tokenizer = self.tokenizer_options.load(self.artifacts_dir, self.tokenizer_recipe())

    def source(self, split: str) -> SampleSource:
        """Return the pairs of "train", "val" or "test".

        Raises:
            CorpusError: If the split is empty.
        """
        chosen = self._chosen(split)
        if not len(chosen):
            raise CorpusError(
                f"{self._path(split)}: no pair in split {split!r} (shares {self.splits}); raise its share in "
                "data.init_args.splits, or give the split a path of its own."
            )
        return self._corpus(split).source(chosen, self.keeps_masks(split))

    def split_sha256(self, split: str, source: str | None = None) -> str:
        """Return the SHA-256 of the corpus and of which of its pairs belong to a split."""
        return json_sha256({"corpus": self._corpus(split).sha256, "pairs": self._chosen(split).tolist()})

    def tokenizer_recipe(self) -> dict[str, Any]:
        """Return what the texts of the tokenizer depend on."""
        return {"split": self.split_sha256("train"), "reports": self.tokenizer_reports}

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the texts that a tokenizer is trained on: the first training reports."""
        yield from self._corpus("train").texts(self._chosen("train")[: self.tokenizer_reports])

    def _path(self, split: str) -> str:
        if self.path is not None:
            return self.path
        if split not in self.paths:
            raise CorpusError(f"path has no {split!r} (it has {list(self.paths)}): give one for that split.")
        return self.paths[split]

    def _corpus(self, split: str) -> Corpus:
        stream = self.stream and split == "train"
        path = self._path(split)
        if (path, stream) not in self._opened:
            self._opened[path, stream] = self._open(path, stream)
        return self._opened[path, stream]

    def _open(self, path: str, stream: bool) -> Corpus:
        kind, files = corpus_files(path)
        if kind == "store":
            return StoreCorpus(files[0], self.catalog, self.image_size)
        reader = RowReader(self.columns, self.catalog, self.image_size, self.fit)
        if stream:
            return StreamedCorpus(kind, files, reader)
        return TableCorpus(kind, files, reader, self.artifacts_dir / "corpora")

    def _chosen(self, split: str) -> Indices:
        total = len(self._corpus(split))
        if self.path is None:
            return np.arange(total)
        splits = (split_of(str(place), self.splits, self.split_salt) for place in range(total))
        return np.flatnonzero(np.fromiter((s == split for s in splits), bool, total))
