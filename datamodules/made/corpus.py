"""A corpus on disk, opened: a store of `make corpus`, tars or Parquet files."""

from __future__ import annotations

import glob
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamodules.loading.sample import SampleSource
from datamodules.made.corpus_error import CorpusError
from datamodules.made.row_reader import Row
from synthesis.files import file_sha256
from synthesis.identity import json_sha256

Indices = npt.NDArray[np.int64]

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

    try:
        for sample in webdataset.WebDataset([str(file)], shardshuffle=False, empty_check=False):
            fields = json.loads(sample["json"]) if "json" in sample else {}
            if "txt" in sample:
                fields.setdefault("text", sample["txt"].decode())
            picture = next((sample[suffix] for suffix in _PICTURES if suffix in sample), None)
            if picture is None:
                raise CorpusError(
                    f"{file}, key {sample['__key__']}: no picture among {sorted(sample)}; a key needs one of "
                    f"{', '.join(_PICTURES)}."
                )
            yield {**fields, "key": sample["__key__"], "image": picture}
    except CorpusError:
        raise
    except Exception as error:  # webdataset hands on whatever tarfile, json and the file system raise
        raise CorpusError(f"{file}: cannot be read as a tar ({error}); make or fetch it again.") from error


def parquet_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        CorpusError: If it cannot be read.
    """
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=256):
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's parsing errors are ValueErrors
        raise CorpusError(f"{file}: cannot be read as Parquet ({error}); make or fetch it again.") from error


def count_rows(kind: str, file: Path) -> int:
    """Return how many pairs a file holds, without decoding any."""
    if kind == "parquet":
        import pyarrow.parquet

        return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)
    stated = file.with_name(f"{file.stem}_stats.json")  # as img2dataset leaves it
    if stated.is_file():
        return int(json.loads(stated.read_bytes())["successes"])
    return sum(1 for _ in tar_rows(file))


def files_sha256(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the contents of some files, in their order."""
    return json_sha256([file_sha256(file) for file in files])
