"""What the exports share: they are written file by file, and go on where they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from synthesis.cache import PairCache
from synthesis.files import TEMPORARY, write_atomically
from synthesis.pairs import Pair, json_sha256

SOURCE = "source.json"


def parts(total: int, pairs: int) -> list[range]:
    """Cut a corpus into files of so many pairs.

    Raises:
        ValueError: If a file would hold none.
    """
    if pairs < 1:
        raise ValueError(f"pairs={pairs}: a file holds at least one; give 1 or more.")
    return [range(start, min(start + pairs, total)) for start in range(0, total, pairs)]


def read(corpus: PairCache, indices: range, chunk: int = 64) -> Iterator[Pair]:
    """Yield pairs of a corpus, without masks, a few in memory at a time."""
    for start in range(indices.start, indices.stop, chunk):
        yield from corpus.pairs(range(start, min(start + chunk, indices.stop)), masks=False)


def open_export(out: Path, corpus: PairCache, pairs: int) -> None:
    """Make the directory ready: files of another corpus, and what a killed process left, are deleted.

    Args:
        out: The directory; it belongs to the export alone.
        corpus: What is exported.
        pairs: Pairs in a file.

    Raises:
        FileExistsError: If the directory holds something that is no export.
    """
    source = {"corpus": json_sha256(corpus.manifest), "pairs": pairs}
    path = out / SOURCE
    if out.exists() and not path.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} holds something else than an export; give an empty directory.")
    out.mkdir(parents=True, exist_ok=True)
    same = path.exists() and json.loads(path.read_bytes()) == source
    for file in out.iterdir():
        if file != path and (not same or file.name.endswith(TEMPORARY)):
            file.unlink()
    write_atomically(path, json.dumps(source).encode())
