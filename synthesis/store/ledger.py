"""What is written beside each shard: which pairs it holds, which are missing, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from synthesis.concepts import ConceptCatalog
from synthesis.files import write_atomically, write_json
from synthesis.filters import CorpusFilter
from synthesis.identity import json_sha256
from synthesis.pairs import Pair, Rejection
from synthesis.store.errors import DamagedStoreError, check_name, check_sha256
from synthesis.store.shard import encode

SUFFIX = ".ledger.json"
_SIGNATURES = ".signatures.safetensors"
_CHECKSUM = "ledger_sha256"
_REMEDY = "Delete it and run again: only its pairs are made again."


@dataclass(frozen=True)
class Refused:
    """A drawing that a filter refused.

    Attributes:
        index: Of the pair.
        attempt: Which drawing of it, from 0.
        kind: What it is counted by, see `Rejection`.
        detail: The figures or words behind it.
        missing: Whether it was the last drawing: the store lacks the pair.
    """

    index: int
    attempt: int
    kind: str
    detail: str
    missing: bool = False

    @property
    def reason(self) -> str:
        """Kind and detail in one line."""
        return str(Rejection(self.kind, self.detail))


@dataclass(frozen=True)
class Ledger:
    """What became of one range of indices. It is written last: where it lies, all else does.

    Attributes:
        start: First index.
        stop: End of the indices.
        file: Name of the file with the pairs, None if there is none.
        bytes: Its size.
        sha256: Its checksum.
        pairs: How many it holds.
        masks: Whether each of them has masks.
        refused: The drawings that were refused, pair by pair.
        notes: What was noted on the pairs, those that are missing included → how often.
        signatures: Name of the file with what the corpus filters look at, None without such filters.
        signatures_sha256: Its checksum.
    """

    start: int
    stop: int
    file: str | None
    bytes: int
    sha256: str
    pairs: int
    masks: bool
    refused: tuple[Refused, ...]
    notes: dict[str, int]
    signatures: str | None
    signatures_sha256: str

    @staticmethod
    def path(directory: Path, start: int, stop: int) -> Path:
        """Return where the ledger of a range lies."""
        return directory / f"{start:09}-{stop:09}{SUFFIX}"

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Read a ledger.

        Raises:
            DamagedStoreError: If it is not what was written.
        """
        try:
            content = json.loads(path.read_bytes())
            written = content.pop(_CHECKSUM, None)  # None: of an earlier version
            ledger = cls(**{**content, "refused": tuple(Refused(**entry) for entry in content["refused"])})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamagedStoreError(
                f"{path} cannot be read ({type(error).__name__}: {error}). {_REMEDY}"
            ) from error
        if written not in (None, json_sha256(asdict(ledger))):
            raise DamagedStoreError(f"{path} was changed after it was written. {_REMEDY}")
        for name in (ledger.file, ledger.signatures):
            check_name(name, path)
        return ledger

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and checksum of the files beside it."""
        if self.file is not None:
            yield self.file, self.sha256
        if self.signatures is not None:
            yield self.signatures, self.signatures_sha256

    def is_whole(self, directory: Path) -> bool:
        """Return whether all its files are there.

        Raises:
            DamagedStoreError: If one of them is not what was written.
        """
        there = [(directory / name, sha256) for name, sha256 in self.files() if (directory / name).exists()]
        for path, sha256 in there:
            check_sha256(path, sha256)
        return len(there) == len(list(self.files()))

    def indices(self) -> list[int]:
        """Return the index of each pair in the file, in order."""
        missing = {entry.index for entry in self.refused if entry.missing}
        return [index for index in range(self.start, self.stop) if index not in missing]

    def read_signatures(self, directory: Path) -> list[npt.NDArray[Any]]:
        """Return the signatures of the pairs in the file, an array for each corpus filter."""
        from safetensors.numpy import load

        if self.signatures is None:
            return []
        arrays = load((directory / self.signatures).read_bytes())
        return [arrays[name] for name in sorted(arrays, key=int)]


def write_range(
    directory: Path,
    indices: range,
    pairs: Sequence[Pair],
    missing: Sequence[Pair],
    filters: Sequence[CorpusFilter],
    catalog: ConceptCatalog,
) -> None:
    """Write the pairs of one range, what the corpus filters look at, and then the ledger.

    Args:
        directory: Of the split.
        indices: The range.
        pairs: Those that passed, in the order of their indices.
        missing: Those that were rejected on every attempt.
        filters: The corpus filters.
        catalog: What labels are read by.
    """
    from safetensors.numpy import save

    stem = f"{indices.start:09}-{indices.stop:09}"
    content = encode(pairs, catalog) if pairs else b""
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest[:16]}.safetensors" if pairs else None
    if name is not None:
        write_atomically(directory / name, content)
    signed = save({str(i): f.sign(pairs) for i, f in enumerate(filters)} if pairs else {}) if filters else b""
    if filters:
        write_atomically(directory / f"{stem}{_SIGNATURES}", signed)
    refused = [r for p in pairs for r in _refused(p, False)] + [r for p in missing for r in _refused(p, True)]
    ledger = Ledger(
        start=indices.start,
        stop=indices.stop,
        file=name,
        bytes=len(content),
        sha256=digest,
        pairs=len(pairs),
        masks=all(pair.masks is not None for pair in pairs),
        refused=tuple(sorted(refused, key=lambda r: (r.index, r.attempt))),
        notes=dict(sorted(Counter(note for pair in (*pairs, *missing) for note in pair.notes).items())),
        signatures=f"{stem}{_SIGNATURES}" if filters else None,
        signatures_sha256=hashlib.sha256(signed).hexdigest(),
    )
    entry = asdict(ledger)
    entry[_CHECKSUM] = json_sha256(entry)
    write_json(Ledger.path(directory, indices.start, indices.stop), entry)


def _refused(pair: Pair, missing: bool) -> list[Refused]:
    last = len(pair.rejections) - 1
    return [
        Refused(pair.index, attempt, why.kind, why.detail, missing and attempt == last)
        for attempt, why in enumerate(pair.rejections)
    ]
