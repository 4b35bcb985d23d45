"""Tars or Parquet files with random access: in memory-mapped Arrow files of `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.loading.sample import Sample, SampleSource
from datamodules.made.corpus import Corpus, Indices, check_file, files_sha256, parquet_rows, tar_rows
from datamodules.made.corpus_error import CorpusError
from datamodules.made.row_reader import Row, RowReader
from datamodules.texts.text_view import full_text

ROWS = {"tar": tar_rows, "parquet": parquet_rows}
"""Kind of a file → what yields its rows."""


class TableCorpus(Corpus):
    """Rows of tars or Parquet files, read at random.

    They are written once as Arrow files, which `datasets` maps into memory: as much disk again, no more
    memory, and a row costs no more than its bytes.

    Args:
        kind: "tar" or "parquet".
        files: In the order of the pairs.
        reader: Turns rows into samples.
        directory: Directory of the Arrow files.
    """

    def __init__(self, kind: str, files: Sequence[Path], reader: RowReader, directory: Path) -> None:
        self.kind, self.files, self.reader, self.directory = kind, tuple(files), reader, directory
        self._rows: Any = None

    @property
    def rows(self) -> Any:
        """The rows as a `datasets.Dataset`: ``image``, ``fields`` (JSON), ``file`` and ``number`` there."""
        if self._rows is None:
            self._rows = self._open()
        return self._rows

    def _open(self) -> Any:
        from datasets import Dataset, Features, Value
        from datasets.exceptions import DatasetGenerationError

        stated = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        try:
            return Dataset.from_generator(
                _flat_rows,
                features=Features(
                    {
                        "image": Value("binary"),
                        "fields": Value("string"),
                        "file": Value("string"),
                        "number": Value("int64"),
                    }
                ),
                cache_dir=str(self.directory),
                gen_kwargs={"kind": self.kind, "image": self.reader.columns.image, "files": stated},
                split="train",
            )
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, CorpusError):
                raise error.__cause__ from error
            raise
        except ValueError as error:
            if "corresponds to no data" not in str(error):
                raise
            place = self.files[0].parent
            raise CorpusError(f"{place}: holds no pairs; make or copy some there") from error

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.rows)

    @property
    def made(self) -> bool:  # type: ignore[override]
        """Whether the rows have cases."""
        return len(self) > 0 and self._row(0)[0].get(self.reader.columns.case or "") is not None

    @property
    def sha256(self) -> str:
        """SHA-256 of the files."""
        return files_sha256(self.files)

    def source(self, chosen: Indices, masks: bool) -> SampleSource:
        """See `Corpus.source`; rows have no masks."""
        return _RowSource(self, chosen)

    def texts(self, chosen: Indices) -> Iterator[str]:
        """See `Corpus.texts`."""
        for place in chosen:
            row, where = self._row(int(place))
            yield full_text(self.reader.report(row, where))

    def sample(self, place: int) -> Sample:
        """Return one pair as a sample."""
        row, where = self._row(place)
        return self.reader.sample(row, place, where)

    def _row(self, place: int) -> tuple[Row, str]:
        stored = self.rows[place]
        row = {**json.loads(stored["fields"]), "image": stored["image"]}
        return row, self.reader.where(row, stored["number"], stored["file"])


class _RowSource:
    def __init__(self, corpus: TableCorpus, chosen: Indices) -> None:
        self.corpus, self.chosen = corpus, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        return [self.corpus.sample(int(self.chosen[index])) for index in indices]

    def groups(self) -> Indices:
        if self.corpus.reader.columns.patient is None:
            return self.chosen
        return np.array([self.corpus.sample(int(place)).group for place in self.chosen])


def _flat_rows(kind: str, image: str, files: Sequence[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
    """Yield rows as bytes and JSON: fields of any type, which need not be the same in every row."""
    for name, _, _ in files:
        check_file(Path(name))
        for number, row in enumerate(ROWS[kind](Path(name))):
            value = row.get(image)
            content = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(content, bytes):
                raise CorpusError(
                    f"{name}, row {number}, column {image!r}: holds no bytes of an image but "
                    f"{type(value).__name__}; it has {sorted(row)}. Correct data.init_args.columns.image, or "
                    "embed the images."
                )
            fields = {key: field for key, field in row.items() if key != image}
            yield {
                "image": content,
                "fields": json.dumps(fields, default=str),
                "file": name,
                "number": number,
            }
