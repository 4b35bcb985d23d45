"""Filling a store: resumable, by any number of processes, killed at any time."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthesis.files import TEMPORARY, locked, write_json
from synthesis.identity import json_sha256
from synthesis.pairs import Pair
from synthesis.progress import Progress
from synthesis.store.errors import DamagedStoreError, StaleStoreError, StoreError, check_sha256
from synthesis.store.finish import finish
from synthesis.store.ledger import Ledger, write_range
from synthesis.store.manifest import MANIFEST, Manifest, differences
from synthesis.store.pair_store import PairStore
from synthesis.store.plan import StorePlan, cache_directory
from synthesis.store.share import Share

RECIPE = "recipe.json"
_CHUNK = 32  # pairs made in one call: bounds the memory of a worker

log = logging.getLogger(__name__)


def fill(
    directory: str | Path,
    plan: StorePlan,
    share: Share | None = None,
    workers: int = 0,
    progress: bool = True,
) -> PairStore | None:
    """Make this process's shards of a store, less those that are there already; finish it if all are there.

    Every process may be killed at any time and started again, alone or with the others. Of two processes with
    the same share the second waits for the first; whichever process sees the last shard finishes the store.
    A finished store that holds enough is only read, so it may lie on a read-only disk.

    Args:
        directory: Directory of the split.
        plan: What to make.
        share: Which shards; None makes all of them.
        workers: Processes that make shards; 0 makes them here (as a maker that uses a GPU needs).
        progress: Whether to show a progress bar.

    Returns:
        The store, or None if shards of other processes are still missing.

    Raises:
        StaleStoreError: If the directory holds the pairs of another plan.
        DamagedStoreError: If a finished shard is not what was written.
        StoreError: If there is something to be made and the directory cannot be written to.
        RuntimeError: If every index has to have a pair and one has none, or no pair is left at all.
    """
    directory, recipe, share = Path(directory), plan.recipe(), share or Share()
    if _holds(directory, recipe, plan.pairs):
        return PairStore(directory, recipe)
    lock = f".lock-{share.number}-of-{share.count}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / lock).touch()
    except OSError as error:
        raise StoreError(
            f"{directory} holds no finished store of {plan.pairs:,} pairs and cannot be written to "
            f"({error}). Make the pairs where you may write, or ask for as many as there are."
        ) from error
    _claim(directory, recipe)
    with locked(directory, lock):
        _run(_Shards(plan, share, directory), workers, progress)
    with locked(directory):
        ledgers = _ledgers(directory, plan)
        if ledgers is None:
            log.info("%s: the last process to end will finish the store", directory)
            return None
        finish(directory, plan, recipe, ledgers)
    return PairStore(directory, recipe)


def fill_cache(root: str | Path, plan: StorePlan, workers: int = 0, progress: bool = True) -> PairStore:
    """Fill the store of a plan under a root of caches, and say in what it differs from the nearest one.

    Args:
        root: Directory of all caches; each lies under its fingerprint.
        plan: What to make.
        workers: Processes that make shards.
        progress: Whether to show a progress bar.

    Raises:
        StoreError: As `fill` does.
    """
    recipe = plan.recipe()
    directory = cache_directory(root, recipe, plan.split)
    if not directory.exists():
        _log_nearest(Path(root), recipe, plan.split)
    store = fill(directory, plan, workers=workers, progress=progress)
    assert store is not None, "all shards are of this process"
    return store


class _Shards:
    """The shards that a share still lacks, as a data set: to get an item is to make and write that shard."""

    def __init__(self, plan: StorePlan, share: Share, directory: Path) -> None:
        self.plan, self.directory = plan, directory
        self.todo: list[tuple[int, int]] = []
        for start, stop in plan.ranges()[share.number :: share.count]:
            # Left by a process that was killed: we hold the lock of its share.
            for leftover in directory.glob(f"{start:09}-{stop:09}*{TEMPORARY}"):
                leftover.unlink(missing_ok=True)
            path = Ledger.path(directory, start, stop)
            if not (path.exists() and Ledger.read(path).is_whole(directory)):
                self.todo.append((start, stop))

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, number: int) -> int:
        start, stop = self.todo[number]
        passed: list[Pair] = []
        missing: list[Pair] = []
        for first in range(start, stop, _CHUNK):
            made, refused = self.plan.make(range(first, min(first + _CHUNK, stop)))
            passed += made
            missing += refused
        catalog = self.plan.maker.catalog
        write_range(self.directory, range(start, stop), passed, missing, self.plan.filters, catalog)
        return stop - start


def _run(shards: _Shards, workers: int, progress: bool) -> None:
    """Make all shards, here or in workers, under a bar that shows pairs a second and the time left."""
    from torch.utils.data import DataLoader

    # A DataLoader for its worker processes: their errors arrive here, and they end when we are killed.
    loader = DataLoader(shards, batch_size=None, num_workers=min(workers, len(shards)), in_order=False)  # type: ignore[arg-type,var-annotated]
    total = sum(stop - start for start, stop in shards.todo)
    with Progress(
        f"making {shards.plan.split} pairs", total, "pairs", shown=progress and len(shards) > 0
    ) as bar:
        for made in loader:
            bar.advance(made)


def _holds(directory: Path, recipe: Mapping[str, Any], pairs: int) -> bool:
    """Return whether a finished, undamaged store of at least so many indices is there."""
    if not (directory / MANIFEST).exists():
        return False
    manifest = Manifest.read(directory, recipe)
    ledgers = [Ledger.path(directory, entry.start, entry.stop) for entry in manifest.shards]
    files = [(directory / entry.file, entry.sha256) for entry in manifest.shards if entry.file is not None]
    if manifest.made < pairs or not all(path.exists() for path in (*ledgers, *(file for file, _ in files))):
        return False
    for path, sha256 in files:
        check_sha256(path, sha256)
    return True


def _claim(directory: Path, recipe: Mapping[str, Any]) -> None:
    """Write down what the directory is for, or refuse it if it is for something else."""
    path = directory / RECIPE
    if not path.exists():
        write_json(path, recipe)
    try:
        there = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedStoreError(f"{path} cannot be read: {error}. Delete it and run again.") from error
    if json_sha256(there) != json_sha256(recipe):
        raise StaleStoreError(
            f"{directory} was begun by another configuration:\n{differences(there, recipe)}\n"
            f"Go back to that configuration, or give another directory."
        )


def _ledgers(directory: Path, plan: StorePlan) -> list[Ledger] | None:
    """Return the ledgers of all shards in order, None if one is missing."""
    paths = [Ledger.path(directory, start, stop) for start, stop in plan.ranges()]
    there = sum(path.exists() for path in paths)
    log.info("%s: %d of %d shards are there", directory, there, len(paths))
    return [Ledger.read(path) for path in paths] if there == len(paths) else None


def _log_nearest(root: Path, recipe: Mapping[str, Any], split: str) -> None:
    """Where other caches of this split lie under the root, say why none of them serves."""
    known = []
    for path in root.glob(f"*/{split}/{MANIFEST}"):
        try:
            there = Manifest.read(path.parent, None)
        except StoreError:
            continue
        known.append((differences(there.recipe, recipe), path.parent))
    if known:
        text, directory = min(known, key=lambda item: (item[0].count("\n"), str(item[1])))
        log.warning("making %s pairs afresh; the nearest cache, %s, differs:\n%s", split, directory, text)
