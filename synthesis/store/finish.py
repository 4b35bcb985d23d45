"""The end of filling a store, when all its shards are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthesis.files import TEMPORARY
from synthesis.identity import json_sha256
from synthesis.pairs import Rejection
from synthesis.store.ledger import SUFFIX, Ledger, Refused
from synthesis.store.manifest import Manifest, ShardEntry
from synthesis.store.plan import StorePlan


def finish(directory: Path, plan: StorePlan, recipe: dict[str, Any], ledgers: list[Ledger]) -> None:
    """Ask the corpus filters, and write the manifest.

    Args:
        directory: Of the split.
        plan: What was made.
        recipe: Of the plan.
        ledgers: Of all its shards, in order.

    Raises:
        RuntimeError: If no pair is left.
    """
    left_out, refused = _left_out(directory, plan, ledgers)
    pairs = sum(ledger.pairs for ledger in ledgers) - sum(map(len, left_out))
    if not pairs:
        raise RuntimeError(f"{directory}: writer and filters left none of {plan.pairs} pairs. Loosen them.")
    shards = tuple(
        ShardEntry(one.start, one.stop, one.file, one.bytes, one.sha256, one.pairs, tuple(positions))
        for one, positions in zip(ledgers, left_out, strict=True)
    )
    Manifest(
        fingerprint=json_sha256(recipe),
        recipe=recipe,
        split=plan.split,
        made=plan.pairs,
        pairs=pairs,
        image_size=plan.maker.image_size,
        has_masks=all(ledger.masks for ledger in ledgers),
        catalog_sha256=plan.maker.catalog.sha256,
        concept_names=plan.maker.catalog.names,
        shards=shards,
        refused=tuple(refused),
    ).write(directory)
    _tidy(directory, ledgers)


def _left_out(
    directory: Path, plan: StorePlan, ledgers: list[Ledger]
) -> tuple[list[list[int]], list[Refused]]:
    """Return the positions that each shard's pairs are left out at, and why.

    A pair that one corpus filter refused is no longer there for the next.
    """
    places = [(k, *place) for k, ledger in enumerate(ledgers) for place in enumerate(ledger.indices())]
    signed = [ledger.read_signatures(directory) for ledger in ledgers if ledger.pairs]
    reasons: dict[int, Rejection] = {}
    for number, part in enumerate(plan.filters if signed else ()):
        open_ = [n for n in range(len(places)) if n not in reasons]
        signatures = np.concatenate([arrays[number] for arrays in signed])[open_]
        rejected = zip(open_, part.reject(signatures), strict=True)
        reasons |= {n: reason for n, reason in rejected if reason is not None}
    left_out: list[list[int]] = [[] for _ in ledgers]
    refused = []
    for n, reason in sorted(reasons.items()):
        k, position, index = places[n]
        left_out[k].append(position)
        attempts = sum(r.index == index for r in ledgers[k].refused)
        refused.append(Refused(index, attempts, reason.kind, reason.detail, missing=True))
    return left_out, refused


def _tidy(directory: Path, ledgers: list[Ledger]) -> None:
    """Delete the last shard of a store that has since grown, and what a process that was killed left."""
    for leftover in directory.glob(f"*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)
    wanted = {ledger.start: ledger.stop for ledger in ledgers}
    for path in directory.glob(f"*{SUFFIX}"):
        old = Ledger.read(path)
        if wanted.get(old.start, old.stop) > old.stop:
            path.unlink()
            for name, _ in old.files():
                (directory / name).unlink(missing_ok=True)
