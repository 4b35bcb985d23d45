"""A corpus on disk, opened: a store of `make corpus`, tars or Parquet files."""

from __future__ import annotations

import glob
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.loading.sample import SampleSource
from datamodules.made.corpus_error import CorpusError
from datamodules.made.row_reader import Row
from datamodules.tables.parquet_batches import DecompressionBombError, parquet_batches
from synthesis.checksums import ChecksumError, check_listed
from synthesis.files import file_sha256
from synthesis.identity import json_sha256
from synthesis.store import StoreError
from synthesis.store.export import check_export

Indices = npt.NDArray[np.int64]

_END = 1024  # zero bytes at the end of every tar
_PICTURES = ("png", "jpg", "jpeg", "tif", "tiff", "bmp", "jp2")


class Corpus(ABC):
    """Pairs in their order on disk.

    Attributes:
        made: Whether the pairs are made and their cases known.
        has_masks: Whether samples can hold the masks of their findings.
    """

    made: bool = False
    has_masks: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pairs."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """SHA-256 of what the pairs are."""

    @abstractmethod
    def source(self, chosen: Indices, masks: bool) -> SampleSource:
        """Return some pairs as samples.

        Args:
            chosen: Their numbers, ascending.
            masks: Whether samples hold masks, where the corpus has any.
        """

    @abstractmethod
    def texts(self, chosen: Indices) -> Iterator[str]:
        """Yield the whole reports of some pairs."""


def corpus_files(path: str) -> tuple[str, list[Path]]:
    """Return the kind of a corpus, "store", "tar" or "parquet", and its files in order.

    Args:
        path: A directory, or a pattern such as ``data/*.tar``. A directory may be that of `make corpus`.

    Raises:
        CorpusError: If nothing is there, or nothing that can be read.
    """
    directory = Path(path)
    for place in (directory, directory / "train"):
        if (place / "manifest.json").is_file():
            return "store", [place]
    found = [Path(name) for name in sorted(glob.glob(path))]
    files = sorted(directory.iterdir()) if directory.is_dir() else found
    for suffix in ("tar", "parquet"):
        if named := [file for file in files if file.suffix == f".{suffix}"]:
            if directory.is_dir():
                _or_corpus_error(check_export, directory, len(named))
            return suffix, named
    if not files:
        raise CorpusError(f"path={path!r}: nothing is there; give the directory of a corpus, or a pattern.")
    raise CorpusError(
        f"path={path!r} holds {[file.name for file in files[:5]]}, but neither a finished store "
        "(manifest.json), nor .tar or .parquet files. A corpus that is still being made has no manifest: run "
        "the same `make corpus` to its end."
    )


def tar_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a tar in img2dataset's layout: picture, ``.txt`` and ``.json`` of each key.

    Raises:
        CorpusError: If the tar cannot be read, or a key has no picture.
    """
    import webdataset

    _check_end(file)
    rows = 0
    name = str(file.absolute())  # webdataset takes one like ``pipe:…`` for a command, and runs it
    try:
        # Which process sees which rows our samplers say: the library would deal out the files.
        alone = {"nodesplitter": None, "workersplitter": None, "shardshuffle": False, "empty_check": False}
        for sample in webdataset.WebDataset([name], **alone):
            fields = json.loads(sample["json"]) if "json" in sample else {}
            if "txt" in sample:
                fields.setdefault("text", sample["txt"].decode())
            picture = next((sample[suffix] for suffix in _PICTURES if suffix in sample), None)
            if picture is None:
                raise CorpusError(
                    f"{file}, key {sample['__key__']}: no picture among {sorted(sample)}; a key needs one of "
                    f"{', '.join(_PICTURES)}."
                )
            rows += 1
            yield {**fields, "key": sample["__key__"], "image": picture}
    except CorpusError:
        raise
    except Exception as error:  # webdataset hands on whatever tarfile, json and the file system raise
        raise CorpusError(f"{file}: cannot be read as a tar ({error}); make or fetch it again.") from error
    stated = _stated_rows(file)
    if stated not in (None, rows):
        raise CorpusError(
            f"{file}: holds {rows:,} pairs, {_stats(file).name} says {stated:,}; it may be truncated: make "
            f"or fetch it again."
        )


def check_file(file: Path) -> None:
    """Raise a CorpusError if a file of an export is not what was written."""
    _or_corpus_error(check_listed, file)


def _or_corpus_error(check: Callable[..., None], *arguments: Any) -> None:
    try:
        check(*arguments)
    except (StoreError, ChecksumError) as error:
        raise CorpusError(str(error)) from error


def _check_end(file: Path) -> None:
    """Refuse a tar without its end mark: one that was cut between two members would just be shorter."""
    if not file.is_file():
        raise CorpusError(f"{file}: is a folder, or a link to what is not there; make or fetch it again.")
    size = file.stat().st_size
    with file.open("rb") as content:
        content.seek(max(0, size - _END))
        end = content.read()
    if len(end) < _END or any(end):
        raise CorpusError(
            f"{file}: cannot be read as a tar ({size:,} bytes, without the mark at its end): it is empty or "
            f"truncated; make or fetch it again."
        )


def _stats(file: Path) -> Path:
    return file.with_name(f"{file.stem}_stats.json")  # as img2dataset leaves it


def _stated_rows(file: Path) -> int | None:
    """Return how many pairs are said to be in a tar; None where nothing says so."""
    path = _stats(file)
    if not path.is_file():
        return None
    check_file(path)
    try:
        return int(json.loads(path.read_bytes())["successes"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{path}: says no number of pairs as `successes` ({error!r}); fetch or delete it."
        ) from error


def parquet_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        CorpusError: If it cannot be read, or is a decompression bomb.
    """
    try:
        for batch in parquet_batches(file):
            yield from batch.to_pylist()
    except DecompressionBombError as error:
        raise CorpusError(str(error)) from error
    except (OSError, ValueError) as error:  # pyarrow's parsing errors are ValueErrors
        raise CorpusError(f"{file}: cannot be read as Parquet ({error}); make or fetch it again.") from error


def count_rows(kind: str, file: Path) -> int:
    """Return how many pairs a file holds, without decoding any."""
    if kind == "parquet":
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)
        except (OSError, ValueError) as error:
            raise CorpusError(
                f"{file}: cannot be read as Parquet ({error}); make or fetch it again."
            ) from error
    stated = _stated_rows(file)
    return sum(1 for _ in tar_rows(file)) if stated is None else stated


def files_sha256(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the contents of some files, in their order."""
    return json_sha256([file_sha256(file) for file in files])
