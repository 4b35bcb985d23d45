"""Filling a cache: resumable, by several processes, killed at any time."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from synthesis.cache.manifest import MANIFEST, CacheError, check_sha256, differences, read_manifest
from synthesis.cache.shard import encode
from synthesis.files import TEMPORARY, file_sha256, locked, write_atomically
from synthesis.pairs import Pair, json_sha256

FORMAT = 1
_SUFFIX = ".safetensors"
_CHUNK = 32  # pairs made in one call: bounds the memory of a worker

log = logging.getLogger(__name__)


class Maker(Protocol):
    """What a cache is filled from: `PairSynthesizer`, or anything like it."""

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the pairs of some indices."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything a pair depends on besides seed, split and index."""
        ...


def recipe(maker: Maker, seed: int, shard_pairs: int = 256) -> dict[str, Any]:
    """Return everything that the bytes of a cache depend on; its SHA-256 is the fingerprint of the cache."""
    return {"format": FORMAT, "shard_pairs": shard_pairs, "seed": seed, "synthesizer": maker.describe()}


def split_directory(root: str | Path, recipe: Mapping[str, Any], split: str) -> Path:
    """Return where the pairs of a recipe lie under a cache root."""
    return Path(root) / json_sha256(recipe)[:16] / split


def fill(
    root: str | Path,
    maker: Maker,
    split: str,
    pairs: int,
    seed: int,
    workers: int = 0,
    shard_pairs: int = 256,
    progress: bool = True,
) -> Path:
    """Make pairs 0 … ``pairs`` − 1 of a split, less those that are there already, and write the manifest.

    May be killed at any time and called again. A second process that fills the same split waits for the
    first.

    Args:
        root: Directory of all caches.
        maker: Makes the pairs.
        split: Name of the split.
        pairs: How many pairs the cache has to hold, ≥ 1; a cache may grow later.
        seed: The seed of the corpus.
        workers: Processes that make shards; 0 makes them here (as a maker that uses a GPU needs).
        shard_pairs: Pairs in a file.
        progress: Whether to show a progress bar.

    Returns:
        The directory of the split, ready for `PairCache`.

    Raises:
        StaleCacheError: If the directory holds a cache of another recipe.
        DamagedCacheError: If a finished shard has another checksum than when it was written.
    """
    if pairs < 1 or shard_pairs < 1:
        raise ValueError(
            f"pairs={pairs}, shard_pairs={shard_pairs}: a cache holds at least one pair; give 1 or more."
        )
    content = recipe(maker, seed, shard_pairs)
    directory = split_directory(root, content, split)
    if not directory.exists():
        _log_nearest(Path(root), content, split)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory):
        if not _holds(directory, content, pairs):
            for leftover in directory.glob(
                f"*{TEMPORARY}"
            ):  # left by a process that was killed: we hold the lock
                leftover.unlink(missing_ok=True)
            todo = _Filling(maker, seed, split, directory, pairs, shard_pairs)
            run_shards(todo, workers, progress)
            write_atomically(directory / MANIFEST, _manifest(todo, content))
    return directory


class _Filling:
    """The shards that a split still lacks, as a data set: to get an item is to make and write that shard."""

    def __init__(
        self, maker: Maker, seed: int, split: str, directory: Path, pairs: int, shard_pairs: int
    ) -> None:
        self.maker, self.seed, self.split, self.directory, self.pairs = maker, seed, split, directory, pairs
        self.ranges = [(start, min(start + shard_pairs, pairs)) for start in range(0, pairs, shard_pairs)]
        there = _finished(directory)
        self.todo = [
            (start, stop) for start, stop in self.ranges if start not in there or _stop(there[start]) < stop
        ]
        for path in there.values():
            check_sha256(path, path.stem.split("-")[2])

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, number: int) -> int:
        start, stop = self.todo[number]
        pairs: list[Pair] = []
        for first in range(start, stop, _CHUNK):
            pairs += self.maker.make(range(first, min(first + _CHUNK, stop)), self.seed, self.split)
        content = encode(pairs)
        name = f"{start:09}-{stop:09}-{hashlib.sha256(content).hexdigest()[:16]}{_SUFFIX}"
        write_atomically(self.directory / name, content)
        return stop - start


class Shards(Protocol):
    """Ranges of a split to be made: to get an item makes and writes it, and tells how many pairs it had."""

    split: str
    todo: list[tuple[int, int]]

    def __len__(self) -> int:
        """Number of ranges to be made."""
        ...

    def __getitem__(self, number: int) -> int:
        """Make one."""
        ...


def run_shards(filling: Shards, workers: int, progress: bool) -> None:
    """Make all shards, here or in workers, under a bar that shows pairs a second and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from torch.utils.data import DataLoader

    # A DataLoader for its worker processes: their errors arrive here, and they end when we are killed.
    loader = DataLoader(filling, batch_size=None, num_workers=min(workers, len(filling)), in_order=False)  # type: ignore[arg-type,var-annotated]
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, disable=not (progress and len(filling))) as bar:
        total = sum(stop - start for start, stop in filling.todo)
        task = bar.add_task(f"making {filling.split} pairs", total=total, rate="")
        for made in loader:
            bar.update(task, advance=made)
            speed = bar.tasks[task].finished_speed or bar.tasks[task].speed
            bar.update(task, rate=f"{speed:.{0 if speed >= 10 else 2}f} pairs/s" if speed else "")


def _manifest(filling: _Filling, recipe: Mapping[str, Any]) -> bytes:
    there = _finished(filling.directory)
    content = {
        "fingerprint": json_sha256(recipe),
        "recipe": recipe,
        "split": filling.split,
        "pairs": filling.pairs,
        "shards": [
            {"file": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in (there[start] for start, _ in filling.ranges)
        ],
    }
    return json.dumps(content, indent=1).encode()


def _finished(directory: Path) -> dict[int, Path]:
    """Return first index → shard. Of two that begin alike, one is of a smaller corpus."""
    return {int(path.name.split("-")[0]): path for path in sorted(directory.glob(f"*{_SUFFIX}"))}


def _stop(path: Path) -> int:
    return int(path.name.split("-")[1])


def _holds(directory: Path, recipe: Mapping[str, Any], pairs: int) -> bool:
    """Return whether a finished, undamaged cache of at least so many pairs is there."""
    if not (directory / MANIFEST).exists():
        return False
    manifest = read_manifest(directory, recipe)
    there = [entry for entry in manifest["shards"] if (directory / entry["file"]).exists()]
    for entry in there:
        check_sha256(directory / entry["file"], entry["sha256"])
    return len(there) == len(manifest["shards"]) and int(manifest["pairs"]) >= pairs


def _log_nearest(root: Path, recipe: Mapping[str, Any], split: str) -> None:
    """Where other corpora of this split lie under the root, say why none of them serves."""
    known = []
    for manifest in root.glob(f"*/{split}/{MANIFEST}"):
        try:
            content = read_manifest(manifest.parent, None)
        except CacheError:
            continue
        known.append((differences(content["recipe"], recipe), manifest.parent))
    if known:
        text, directory = min(known, key=lambda item: (item[0].count("\n"), str(item[1])))
        log.warning("making %s pairs afresh; the nearest cache, %s, differs:\n%s", split, directory, text)
