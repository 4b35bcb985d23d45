"""Tars or Parquet files that are streamed: a few files in memory at a time, however many there are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datamodules.loading.sample import Sample, SampleSource
from datamodules.loading.samplers import MIXED_RUNS
from datamodules.made.corpus import Corpus, Indices, check_file, count_rows, files_sha256
from datamodules.made.row_reader import Row, RowReader
from datamodules.made.table_corpus import ROWS
from datamodules.texts.text_view import full_text


class StreamedCorpus(Corpus):
    """Rows of tars or Parquet files, read file by file in the order in which training asks for them.

    Nothing is copied, and memory holds the encoded rows of `MIXED_RUNS` + 1 files a worker. The order is that
    of an `EpochSampler` with runs: files in random order, the rows of a few files mixed. So it is a pure
    function of the seed, resumes at the very batch, and is the same for any number of workers and ranks; each
    worker reads each file.

    Args:
        kind: "tar" or "parquet".
        files: In the order of the pairs.
        reader: Turns rows into samples.
    """

    made = True

    def __init__(self, kind: str, files: Sequence[Path], reader: RowReader) -> None:
        self.kind, self.files, self.reader = kind, tuple(files), reader
        self.counts = np.array([count_rows(kind, file) for file in files], np.int64)
        self.ends = np.cumsum(self.counts)
        self._open: OrderedDict[int, list[Row]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return int(self.ends[-1])

    @property
    def sha256(self) -> str:
        """SHA-256 of the files."""
        return files_sha256(self.files)

    def source(self, chosen: Indices, masks: bool) -> SampleSource:
        """See `Corpus.source`; rows have no masks."""
        return StreamedSource(self, chosen)

    def texts(self, chosen: Indices) -> Iterator[str]:
        """See `Corpus.texts`."""
        for place in chosen:
            row, where = self._row(int(place))
            yield full_text(self.reader.report(row, where))

    def sample(self, place: int) -> Sample:
        """Return one pair as a sample."""
        row, where = self._row(place)
        return self.reader.sample(row, place, where)

    def runs(self, chosen: Indices) -> list[int]:
        """Return how many of some pairs lie in each file."""
        return np.bincount(np.searchsorted(self.ends, chosen, "right"), minlength=len(self.files)).tolist()

    def _row(self, place: int) -> tuple[Row, str]:
        number = int(np.searchsorted(self.ends, place, "right"))
        if number not in self._open:
            check_file(self.files[number])
            self._open[number] = list(ROWS[self.kind](self.files[number]))
            if len(self._open) > MIXED_RUNS + 1:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        inside = place - int(self.ends[number] - self.counts[number])
        row = self._open[number][inside]
        return row, self.reader.where(row, inside, str(self.files[number]))


class StreamedSource:
    """Some pairs of a streamed corpus.

    Args:
        corpus: The corpus.
        chosen: Numbers of the pairs, ascending.

    Attributes:
        runs: How many of them lie in each file, in order: what `EpochSampler` keeps together.
    """

    def __init__(self, corpus: StreamedCorpus, chosen: Indices) -> None:
        self.corpus, self.chosen = corpus, chosen
        self.runs = corpus.runs(chosen)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.chosen)

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        return [self.corpus.sample(int(self.chosen[index])) for index in indices]

    def groups(self) -> Indices:
        """Return the number of each sample's patient: its own."""
        return self.chosen
