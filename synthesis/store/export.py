"""What the exports share: they are written file by file, and go on where they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthesis.checksums import check_complete, check_listed, checksums, write_listed
from synthesis.files import TEMPORARY
from synthesis.pairs import Pair
from synthesis.store.errors import DamagedStoreError
from synthesis.store.pair_store import PairStore

FORMAT = 2  # of the columns
SOURCE = "source.json"
"""File of an export that says what it holds: the concepts in label order, the checksum of the store …"""


def cut(total: int, pairs: int) -> list[range]:
    """Cut a corpus into files of so many pairs.

    Raises:
        ValueError: If a file would hold none.
    """
    if pairs < 1:
        raise ValueError(f"pairs={pairs}: a file holds at least one; give 1 or more.")
    return [range(start, min(start + pairs, total)) for start in range(0, total, pairs)]


def read(store: PairStore, places: range, chunk: int = 64) -> Iterator[Pair]:
    """Yield pairs of a store, without masks, a few in memory at a time."""
    for start in range(places.start, places.stop, chunk):
        yield from store.pairs(range(start, min(start + chunk, places.stop)), masks=False)


def facts(store: PairStore) -> dict[str, Any]:
    """Return what a reader of an export needs to know of all pairs: JSON-able."""
    manifest = store.manifest
    return {
        "fingerprint": manifest.fingerprint,
        "split": manifest.split,
        "pairs": manifest.pairs,
        "image_size": manifest.image_size,
        "catalog_sha256": manifest.catalog_sha256,
        "concept_names": list(manifest.concept_names),
    }


def _described(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None  # damaged: all is written again


def open_export(out: Path, store: PairStore, pairs: int) -> None:
    """Make the directory ready: files of another corpus, and what a killed process left, are deleted.

    Args:
        out: The directory; it belongs to the export alone.
        store: What is exported.
        pairs: Pairs in a file.

    Raises:
        FileExistsError: If the directory holds something that is no export.
    """
    source = {**facts(store), "store_sha256": store.manifest.sha256, "file_pairs": pairs, "format": FORMAT}
    path = out / SOURCE
    if out.exists() and not path.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} holds something else than an export; give an empty directory.")
    out.mkdir(parents=True, exist_ok=True)
    same = path.exists() and _described(path) == source
    for file in out.iterdir():
        if file != path and (not same or file.name.endswith(TEMPORARY)):
            file.unlink()
    write_listed(path, (json.dumps(source, indent=1, ensure_ascii=False) + "\n").encode())


def check_export(directory: Path, files: int) -> None:
    """Refuse an export that is not there as a whole; what is none passes.

    Args:
        directory: The directory.
        files: Files with pairs that it holds.

    Raises:
        ChecksumError: If a listed file is missing, or the description has changed.
        DamagedStoreError: If files are missing.
    """
    path = directory / SOURCE
    check_complete(directory)
    if not path.is_file() or path.name not in checksums(directory):
        return
    check_listed(path)
    source = json.loads(path.read_bytes())
    expected = len(cut(source["pairs"], source["file_pairs"]))
    if files < expected:
        raise DamagedStoreError(
            f"{directory} holds {files} of the {expected} files of its export: run the export to its end."
        )
