"""Making a corpus: resumable, by any number of processes, killed at any time."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from synthesis.cache.fill import run_shards
from synthesis.cache.manifest import MANIFEST, StaleCacheError, differences
from synthesis.corpus.ledger import SUFFIX, Ledger, Refused, write_range
from synthesis.corpus.plan import CorpusPlan, Part
from synthesis.files import TEMPORARY, locked, write_atomically
from synthesis.pairs import Pair, json_sha256

RECIPE = "recipe.json"
_CHUNK = 32  # pairs made in one call: bounds the memory of a worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """What a finished corpus consists of.

    Attributes:
        directory: Of the split: `synthesis.cache.PairCache` reads it.
        pairs: How many it holds.
        refused: Every drawing that was refused, by the synthesizer's filters or by the corpus filters.
        notes: What the writer noted on all pairs that were made → how often.
    """

    directory: Path
    pairs: int
    refused: tuple[Refused, ...]
    notes: Counter[str]


def make_corpus(
    root: str | Path, plan: CorpusPlan, part: Part | None = None, workers: int = 0, progress: bool = True
) -> Made | None:
    """Make this process's files of a corpus, less those that are there already; finish it if all are there.

    Every process may be killed at any time and started again, alone or with the others; each file belongs to
    one process, and whichever finds the last one there finishes the corpus.

    Args:
        root: Directory of the corpus; its split lies in a folder of that name.
        plan: What to make.
        part: Which files; None takes the part that the launcher of this process gave it.
        workers: Processes that make files; 0 makes them here (as a maker that uses a GPU needs).
        progress: Whether to show a progress bar.

    Returns:
        The corpus, or None if files of other processes are still missing.

    Raises:
        StaleCacheError: If the directory holds the corpus of another plan.
        DamagedCacheError: If a finished file is not what was written.
    """
    part = part or Part.of_environment()
    directory = Path(root) / plan.split
    directory.mkdir(parents=True, exist_ok=True)
    recipe = plan.recipe()
    _claim(directory, recipe)
    todo = _Files(plan, part, directory)
    run_shards(todo, workers, progress)
    ledgers = _ledgers(directory, plan)
    if ledgers is None:
        log.info("%s: the last process to finish will finish the corpus", directory)
        return None
    with locked(directory):
        return _finish(directory, plan, recipe, ledgers)


class _Files:
    """The files that a part still lacks, as a data set: to get an item is to make and write that file."""

    def __init__(self, plan: CorpusPlan, part: Part, directory: Path) -> None:
        self.plan, self.directory = plan, directory
        self.split = plan.split
        self.todo: list[tuple[int, int]] = []
        for start, stop in plan.ranges()[part.number :: part.count]:
            for leftover in directory.glob(
                f"{start:09}-{stop:09}*{TEMPORARY}"
            ):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            path = Ledger.path(directory, start, stop)
            if path.exists():
                Ledger.read(path).check(directory)
            else:
                self.todo.append((start, stop))

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, number: int) -> int:
        start, stop = self.todo[number]
        passed: list[Pair] = []
        missing: list[Pair] = []
        for first in range(start, stop, _CHUNK):
            indices = range(first, min(first + _CHUNK, stop))
            pairs, refused = self.plan.synthesizer.offer(indices, self.plan.seed, self.plan.split)
            missing += [pairs[k] for k in refused]
            passed += [pair for k, pair in enumerate(pairs) if k not in set(refused)]
        write_range(self.directory, range(start, stop), passed, missing, self.plan.filters)
        return stop - start


def _claim(directory: Path, recipe: Mapping[str, Any]) -> None:
    """Write down what the directory is for, or refuse it if it is for something else."""
    path = directory / RECIPE
    if not path.exists():
        write_atomically(path, json.dumps(recipe, indent=1).encode())
    there = json.loads(path.read_bytes())
    if json_sha256(there) != json_sha256(recipe):
        raise StaleCacheError(
            f"{directory} is a corpus of another configuration:\n{differences(there, recipe)}\n"
            f"Go back to that configuration, or give another directory."
        )


def _ledgers(directory: Path, plan: CorpusPlan) -> list[Ledger] | None:
    """Return the ledgers of all files in order, None if one is missing."""
    paths = [Ledger.path(directory, start, stop) for start, stop in plan.ranges()]
    there = sum(path.exists() for path in paths)
    log.info("%s: %d of %d files are there", directory, there, len(paths))
    return [Ledger.read(path) for path in paths] if there == len(paths) else None


def _finish(directory: Path, plan: CorpusPlan, recipe: Mapping[str, Any], ledgers: list[Ledger]) -> Made:
    """Ask the corpus filters, and write the manifest."""
    left_out, refused = _left_out(directory, plan, ledgers)
    shards = [
        {
            "file": ledger.file,
            "bytes": ledger.bytes,
            "sha256": ledger.sha256,
            "pairs": ledger.pairs,
            "left_out": left_out[k],
        }
        for k, ledger in enumerate(ledgers)
        if ledger.file is not None
    ]
    kept = sum(ledger.pairs for ledger in ledgers) - sum(map(len, left_out))
    if not kept:
        raise RuntimeError(f"{directory}: writer and filters left none of {plan.pairs} pairs. Loosen them.")
    manifest = {
        "fingerprint": json_sha256(recipe),
        "recipe": recipe,
        "split": plan.split,
        "pairs": kept,
        "made": plan.pairs,
        "shards": shards,
    }
    _tidy(directory, ledgers)
    write_atomically(directory / MANIFEST, json.dumps(manifest, indent=1).encode())
    notes = sum((Counter(ledger.notes) for ledger in ledgers), Counter[str]())
    return Made(
        directory, kept, (*chain.from_iterable(ledger.refused for ledger in ledgers), *refused), notes
    )


def _left_out(
    directory: Path, plan: CorpusPlan, ledgers: list[Ledger]
) -> tuple[list[list[int]], list[Refused]]:
    """Return the positions that each file's pairs are left out at, and why.

    A pair that one corpus filter refused is no longer there for the next.
    """
    places = [(k, *place) for k, ledger in enumerate(ledgers) for place in enumerate(ledger.indices())]
    signed = [ledger.read_signatures(directory) for ledger in ledgers if ledger.pairs]
    reasons: dict[int, str] = {}
    for number, part in enumerate(plan.filters if signed else ()):
        open_ = [n for n in range(len(places)) if n not in reasons]
        signatures = np.concatenate([arrays[number] for arrays in signed])[open_]
        found = zip(open_, part.reject(signatures), strict=True)
        reasons |= {n: reason for n, reason in found if reason is not None}
    left_out: list[list[int]] = [[] for _ in ledgers]
    refused = []
    for n, reason in sorted(reasons.items()):
        k, position, index = places[n]
        left_out[k].append(position)
        attempts = sum(r.index == index for r in ledgers[k].refused)
        refused.append(Refused(index, attempts, reason, missing=True))
    return left_out, refused


def _tidy(directory: Path, ledgers: list[Ledger]) -> None:
    """Delete the last file of a corpus that has since grown, and what a process that was killed left."""
    for leftover in chain(directory.glob(f"{RECIPE}*{TEMPORARY}"), directory.glob(f"{MANIFEST}*{TEMPORARY}")):
        leftover.unlink(missing_ok=True)
    wanted = {ledger.start: ledger.stop for ledger in ledgers}
    for path in directory.glob(f"*{SUFFIX}"):
        old = Ledger.read(path)
        if wanted.get(old.start, old.stop) > old.stop:
            path.unlink()
            for name in (old.signatures, old.file):
                if name is not None:
                    (directory / name).unlink(missing_ok=True)
