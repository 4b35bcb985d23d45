"""What is written beside each file of a corpus: which pairs it holds, which are missing, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from synthesis.cache.manifest import DamagedCacheError, check_sha256
from synthesis.cache.shard import encode
from synthesis.files import write_atomically
from synthesis.filters import CorpusFilter
from synthesis.pairs import DRAWN_AGAIN, Pair, kind_of

SUFFIX = ".ledger.json"
_SIGNATURES = ".signatures.safetensors"


@dataclass(frozen=True)
class Refused:
    """A drawing that a filter refused.

    Attributes:
        index: Of the pair.
        attempt: Which drawing of it, from 0.
        reason: Why.
        missing: Whether it was the last: the corpus lacks the pair.
    """

    index: int
    attempt: int
    reason: str
    missing: bool = False


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
        refused: The drawings that were refused, pair by pair.
        notes: What else was noted on the pairs, those that are missing included → how often.
        signatures: Name of the file with what the corpus filters look at.
        signatures_sha256: Its checksum.
    """

    start: int
    stop: int
    file: str | None
    bytes: int
    sha256: str
    pairs: int
    refused: tuple[Refused, ...]
    notes: dict[str, int]
    signatures: str
    signatures_sha256: str

    @staticmethod
    def path(directory: Path, start: int, stop: int) -> Path:
        """Return where the ledger of a range lies."""
        return directory / f"{start:09}-{stop:09}{SUFFIX}"

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Read a ledger.

        Raises:
            DamagedCacheError: If it is not what was written.
        """
        try:
            content = json.loads(path.read_bytes())
            return cls(**{**content, "refused": tuple(Refused(**entry) for entry in content["refused"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedCacheError(
                f"{path} cannot be read: {error!r}. Delete it and run again: only its pairs are made again."
            ) from error

    def check(self, directory: Path) -> None:
        """Raise a DamagedCacheError unless the files beside it are what was written."""
        if self.file is not None:
            check_sha256(directory / self.file, self.sha256)
        check_sha256(directory / self.signatures, self.signatures_sha256)

    def indices(self) -> list[int]:
        """Return the index of each pair held, in order."""
        missing = {entry.index for entry in self.refused if entry.missing}
        return [index for index in range(self.start, self.stop) if index not in missing]

    def kinds(self) -> Counter[str]:
        """Count the refused drawings by the kind of reason."""
        return Counter(kind_of(entry.reason) for entry in self.refused)

    def read_signatures(self, directory: Path) -> list[npt.NDArray[Any]]:
        """Return the signatures of the pairs held, an array for each corpus filter."""
        from safetensors.numpy import load

        arrays = load((directory / self.signatures).read_bytes())
        return [arrays[name] for name in sorted(arrays, key=int)]


def write_range(
    directory: Path,
    indices: range,
    pairs: Sequence[Pair],
    missing: Sequence[Pair],
    filters: Sequence[CorpusFilter],
) -> Ledger:
    """Write the pairs of one range, what the corpus filters look at, and then the ledger.

    Args:
        directory: Of the split.
        indices: The range.
        pairs: Those that passed, in the order of their indices.
        missing: Those that were refused to the last.
        filters: The corpus filters.
    """
    from safetensors.numpy import save

    start, stop = indices.start, indices.stop
    content = encode(pairs) if pairs else b""
    digest = hashlib.sha256(content).hexdigest()
    name = f"{start:09}-{stop:09}-{digest[:16]}.safetensors" if pairs else None
    if name is not None:
        write_atomically(directory / name, content)
    signed = save({str(i): f.sign(pairs) for i, f in enumerate(filters)} if pairs else {})
    beside = f"{start:09}-{stop:09}{_SIGNATURES}"
    write_atomically(directory / beside, signed)
    refused = [r for p in pairs for r in _refused(p, False)] + [r for p in missing for r in _refused(p, True)]
    notes = Counter(n for p in (*pairs, *missing) for n in p.notes if not n.startswith(DRAWN_AGAIN))
    ledger = Ledger(
        start=start,
        stop=stop,
        file=name,
        bytes=len(content),
        sha256=digest,
        pairs=len(pairs),
        refused=tuple(sorted(refused, key=lambda r: (r.index, r.attempt))),
        notes=dict(sorted(notes.items())),
        signatures=beside,
        signatures_sha256=hashlib.sha256(signed).hexdigest(),
    )
    write_atomically(Ledger.path(directory, start, stop), json.dumps(asdict(ledger), indent=1).encode())
    return ledger


def _refused(pair: Pair, missing: bool) -> list[Refused]:
    reasons = [note.removeprefix(DRAWN_AGAIN) for note in pair.notes if note.startswith(DRAWN_AGAIN)]
    last = len(reasons) - 1
    return [
        Refused(pair.index, attempt, reason, missing and attempt == last)
        for attempt, reason in enumerate(reasons)
    ]
