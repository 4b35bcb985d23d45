from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthesis import files
from synthesis.pairs import PairSynthesizer, Rejection
from synthesis.store import (
    DamagedStoreError,
    PairStore,
    Share,
    StaleStoreError,
    StoreError,
    StorePlan,
    fill,
)
from synthesis.store.ledger import Ledger
from tests.ddp import context
from tests.small_corpus import PAIRS, SHARD, make_share, small_plan


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".lock")}


def make(root: Path, plan: StorePlan, share: Share | None = None) -> PairStore | None:
    return fill(root / plan.split, plan, share, progress=False)


def maker(plan: StorePlan) -> PairSynthesizer:
    assert isinstance(plan.maker, PairSynthesizer)
    return plan.maker


def test_what_passes_is_held_once_and_in_order(plan: StorePlan, corpus: PairStore) -> None:
    offered, refused = maker(plan).offer(range(PAIRS), plan.seed, plan.split)
    seen: set[int] = set()
    expected = []
    for k, pair in enumerate(offered):
        shade = int(pair.image[0, 0, 0])
        if k not in refused and shade not in seen:
            expected.append(pair)
            seen.add(shade)
    assert 10 < len(expected) < PAIRS - len(refused), "both kinds of filters must refuse something"
    held = corpus.pairs(range(len(corpus)))
    assert len(corpus) == corpus.manifest.pairs == len(expected)
    for pair, other in zip(held, expected, strict=True):
        for field in ("index", "case", "report", "notes", "attempt", "rejections", "unwritten"):
            assert getattr(pair, field) == getattr(other, field)
        assert torch.equal(pair.image, other.image) and torch.equal(pair.masks, other.masks)  # type: ignore[arg-type]


def test_reading_is_random_access_and_goes_to_other_processes(corpus: PairStore) -> None:
    order = [len(corpus) - 1, 0, 5, 5, 11]
    whole = [pair.index for pair in corpus.pairs(range(len(corpus)))]
    for reader in (corpus, pickle.loads(pickle.dumps(corpus))):
        assert [pair.index for pair in reader.pairs(order)] == [whole[k] for k in order]
    with pytest.raises(IndexError):
        corpus.pairs([len(corpus)])


def test_every_refusal_is_counted_and_can_be_drawn_again(plan: StorePlan, corpus: PairStore) -> None:
    kinds = Counter(entry.kind for entry in corpus.refused())
    missing = Counter(entry.kind for entry in corpus.refused() if entry.missing)
    assert set(kinds) == {"bright", "shade again"}
    assert sum(missing.values()) == PAIRS - len(corpus)
    assert kinds["bright"] > missing["bright"] > 0
    held = {pair.index for pair in corpus.pairs(range(len(corpus)))}
    assert {entry.index for entry in corpus.refused() if entry.missing} == set(range(PAIRS)) - held
    for entry in corpus.refused():
        (drawn,) = maker(plan).draw([entry.index], plan.seed, plan.split, entry.attempt)
        if entry.kind == "bright":
            assert entry.reason == f"bright: {int(drawn.image.max())}"
        else:
            assert entry.reason == f"shade again: {int(drawn.image[0, 0, 0])}"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_make_the_same_corpus_in_any_order(
    plan: StorePlan, corpus: PairStore, root: Path, order: tuple[int, ...]
) -> None:
    done = [make(root, plan, Share(number, 3)) for number in order]
    assert [store is not None for store in done] == [False, False, True]
    assert done[-1] is not None and done[-1].refused() == corpus.refused()
    assert contents(root / "train") == contents(corpus.directory)


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_file_it_ends_the_same(
    plan: StorePlan, corpus: PairStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    replace: Callable[..., None] = os.replace
    left = 0

    def killing(*names: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            raise Killed
        replace(*names)
        if left == 0:
            raise Killed

    monkeypatch.setattr(files.os, "replace", killing)
    writes = 2 + 3 * -(-PAIRS // SHARD)
    for number in range(1, writes + 1):
        root, left = tmp_path / str(number), number
        with pytest.raises(Killed):
            make(root, plan)
        left = -1
        if number < writes or moment == "before":
            with pytest.raises(StoreError, match="holds no finished store"):
                PairStore(root / "train")
        make(root, plan)
        assert contents(root / "train") == contents(corpus.directory), f"killed {moment} write {number}"


def test_kill_9_and_two_processes(corpus: PairStore, root: Path) -> None:
    """Two processes at once; one is killed and started again; nothing is lost, made twice, or other."""

    def start(rank: int) -> Any:
        process = context().Process(target=make_share, args=(root, rank))
        process.start()
        return process

    processes = [start(0), start(1)]
    give_up = time.monotonic() + 150
    while not list((root / "train").glob("*.ledger.json")) and time.monotonic() < give_up:
        assert processes[0].is_alive()
        time.sleep(0.01)
    processes[0].kill()
    processes[0].join()
    # Its ledger is written last: what has none yet is made again.
    ledgers = (root / "train").glob("*.ledger.json")
    finished = tuple(path.name.removesuffix(".ledger.json") for path in ledgers)
    files = [path for path in (root / "train").glob("*.safetensors") if path.name.startswith(finished)]
    kept = {path: path.stat().st_ino for path in files}
    assert kept
    processes[0] = start(0)
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0]
    assert {path: path.stat().st_ino for path in kept} == kept, "finished files are kept as they are"
    assert contents(root / "train") == contents(corpus.directory)


def test_a_corpus_may_grow(plan: StorePlan, corpus: PairStore, root: Path) -> None:
    assert make(root, small_plan(pairs=20)) is not None
    first = [pair.index for pair in PairStore(root / "train").pairs(range(len(PairStore(root / "train"))))]
    assert make(root, plan) is not None
    assert contents(root / "train") == contents(corpus.directory)
    assert [i for i in first if i < 20] == first


def test_another_plan_is_refused_and_says_what_differs(root: Path) -> None:
    make(root, small_plan())
    with pytest.raises(StaleStoreError, match=r"another configuration.*:\n  synthesizer.attempts: 2 → 3"):
        make(root, small_plan(attempts=3))


def test_damage_is_named_and_mended_by_deleting_the_ledger(
    corpus: PairStore, plan: StorePlan, root: Path
) -> None:
    make(root, plan)
    path = min((root / "train").glob("*-0*[0-9a-f].safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedStoreError, match=path.name):
        make(root, plan)
    min((root / "train").glob("*.ledger.json")).unlink()
    make(root, plan)
    assert contents(root / "train") == contents(corpus.directory)


def test_a_corpus_of_which_nothing_is_left_is_refused(root: Path) -> None:
    plan = small_plan()
    dark = [Rejection("bright")]
    maker(plan).filters[0].reject = lambda pairs: dark * len(pairs)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="left none of 45 pairs"):
        make(root, plan)


@pytest.mark.parametrize("text", ["1", "a/b", "2/2", "-1/2", "0/0"])
def test_parts_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="i/n"):
        Share.parse(text)


def test_launchers_say_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert Share.of_environment() == Share(0, 1) == Share.parse("0/1")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert Share.of_environment() == Share(3, 8)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Share.of_environment() == Share(1, 2)


def test_the_manifest_says_what_it_was_made_by(corpus: PairStore, plan: StorePlan) -> None:
    assert corpus.manifest.recipe == json.loads(json.dumps(plan.recipe()))
    assert json.loads((corpus.directory / "recipe.json").read_bytes()) == corpus.manifest.recipe


def test_no_flipped_bit_of_a_store_goes_unnoticed(corpus: PairStore, plan: StorePlan, root: Path) -> None:
    """Of every kind of file that is written, when it is read; a bit of JSON's white space makes no JSON."""
    shutil.copytree(corpus.directory, root)
    rng = np.random.default_rng(0)
    for kind in (
        "*.ledger.json",
        "*.signatures.safetensors",
        "manifest.json",
        "*-????????????????.safetensors",
    ):
        for path in sorted(root.glob(kind))[:2]:
            whole = path.read_bytes()
            for _ in range(25):
                content = bytearray(whole)
                content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
                path.write_bytes(content)
                with pytest.raises(DamagedStoreError, match=path.name):
                    read_all(root)
            path.write_bytes(whole)
    read_all(root)


def read_all(directory: Path) -> None:
    """Read everything, as training, the card and a filling that goes on do."""
    store = PairStore(directory)
    store.refused()
    for path in directory.glob("*.ledger.json"):
        Ledger.read(path).is_whole(directory)
    store.pairs(range(len(store)))


def test_ledgers_of_earlier_versions_are_read(corpus: PairStore, root: Path) -> None:
    shutil.copytree(corpus.directory, root)
    path = next(root.glob("*.ledger.json"))
    content = json.loads(path.read_bytes())
    del content["ledger_sha256"]
    path.write_text(json.dumps(content))
    assert Ledger.read(path).files()
