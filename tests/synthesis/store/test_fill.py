from __future__ import annotations

import json
import pickle
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthesis.cases import BalancedCaseSampler, Case
from synthesis.concepts import DEFAULT_CATALOG, ConceptCatalog
from synthesis.corruption import ClinicSynthesizer
from synthesis.filters import NearDuplicateImages
from synthesis.identity import identity
from synthesis.images.simulator import Simulator
from synthesis.pairs import Pair, PairSynthesizer, Rejection
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report
from synthesis.store import (
    DamagedStoreError,
    PairStore,
    StaleStoreError,
    StoreError,
    StorePlan,
    cache_directory,
    fill,
    fill_cache,
)
from synthesis.store.manifest import Manifest, differences
from synthesis.twins import TwinSynthesizer
from tests.ddp import context

PAIRS, SHARD = 21, 4  # six shards, the last one short


class Recorder(PairSynthesizer):
    """Makes the pairs of a synthesizer, passes for it, and remembers which it made."""

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        self.synthesizer = synthesizer
        super().__init__(synthesizer.sampler, synthesizer.writer, synthesizer.image_maker)
        self.made: list[int] = []

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        self.made += indices
        return self.synthesizer.make(indices, seed, split)


Recorder.__module__, Recorder.__qualname__ = PairSynthesizer.__module__, PairSynthesizer.__qualname__


def plan(maker: Any, pairs: int = PAIRS, seed: int = 0) -> StorePlan:
    return StorePlan(maker, pairs, seed, shard_pairs=SHARD)


def fill_small(root: Path, maker: Any, pairs: int = PAIRS, workers: int = 0) -> Path:
    return fill_cache(root, plan(maker, pairs), workers, progress=False).directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".lock")}


def first_shard(directory: Path) -> Path:
    return min(directory.glob("*.safetensors"))


@pytest.fixture(scope="module")
def filled(synthesizer: PairSynthesizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_small(tmp_path_factory.mktemp("cache"), synthesizer)


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """A cache to be maltreated, as ``<root>/<fingerprint>/train``."""
    return Path(shutil.copytree(filled, tmp_path / filled.parent.name / filled.name))


class Noting(GrammarWriter):
    """Notes how each report came about."""

    def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
        return [
            replace(report, notes=("findings, attempt 1: missing",)) for report in super().write(cases, seeds)
        ]


def test_what_a_writer_notes_comes_back_with_the_pair(synthesizer: PairSynthesizer, tmp_path: Path) -> None:
    noting = PairSynthesizer(synthesizer.sampler, Noting(), synthesizer.image_maker)
    cache = PairStore(fill_small(tmp_path, noting, pairs=3), plan(noting).recipe())
    for made, read in zip(noting.make(range(3), 0, "train"), cache.pairs(range(3)), strict=True):
        assert read.notes == made.notes and "findings, attempt 1: missing" in read.notes
        assert read.report == made.report


def test_pairs_come_back_exactly(synthesizer: PairSynthesizer, filled: Path) -> None:
    cache = PairStore(filled, plan(synthesizer).recipe())
    assert len(cache) == PAIRS
    order = [20, 0, 7, 7, 3, 16]
    without_finding = [
        i for i, p in enumerate(synthesizer.make(range(PAIRS), 0, "train")) if not p.case.findings
    ]
    assert without_finding, "the corpus must hold an image without masks for this test to mean anything"
    order += without_finding
    for made, read in zip(synthesizer.make(order, 0, "train"), cache.pairs(order), strict=True):
        assert (made.index, made.case, made.report, made.notes) == (
            read.index,
            read.case,
            read.report,
            read.notes,
        )
        assert made.image.dtype == read.image.dtype and torch.equal(made.image, read.image)
        assert made.masks is not None and read.masks is not None
        assert made.masks.dtype == read.masks.dtype and torch.equal(made.masks, read.masks)
    assert cache.pairs([5], masks=False)[0].masks is None


def test_notes_and_absent_masks_come_back(synthesizer: PairSynthesizer, tmp_path: Path) -> None:
    clinic = ClinicSynthesizer(
        synthesizer.sampler, synthesizer.writer, synthesizer.image_maker, mispaired=1, corrupted=1
    )

    class WithoutMasks(Recorder):
        def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
            pairs = super().make(indices, seed, split)
            for pair in pairs:
                pair.masks = None
            return pairs

    cache = PairStore(fill_small(tmp_path, WithoutMasks(clinic), pairs=3))
    for made, read in zip(clinic.make(range(3), 0, "train"), cache.pairs(range(3)), strict=True):
        assert read.notes == made.notes and len(read.notes) == 2
        assert read.masks is None


def test_the_manifest_says_what_is_there(synthesizer: PairSynthesizer, filled: Path) -> None:
    manifest = json.loads((filled / "manifest.json").read_text())
    assert manifest["pairs"] == PAIRS
    assert manifest["recipe"]["synthesizer"] == json.loads(json.dumps(identity(synthesizer)))
    assert filled.parent.name == manifest["fingerprint"][:16]
    assert [shard["file"] for shard in manifest["shards"]] == sorted(
        p.name for p in filled.glob("*.safetensors")
    )
    assert len(manifest["shards"]) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_writes_the_same_bytes(
    synthesizer: PairSynthesizer, filled: Path, tmp_path: Path, workers: int
) -> None:
    assert contents(fill_small(tmp_path, synthesizer, workers=workers)) == contents(filled)


def test_a_finished_cache_is_not_made_again(synthesizer: PairSynthesizer, copy: Path) -> None:
    recorder = Recorder(synthesizer)
    before = contents(copy)
    assert fill_small(copy.parents[1], recorder) == copy
    assert fill_small(copy.parents[1], recorder, pairs=3) == copy, "a larger cache serves too"
    assert recorder.made == []
    assert contents(copy) == before


def test_only_missing_shards_are_made(synthesizer: PairSynthesizer, copy: Path) -> None:
    before = contents(copy)
    shards = sorted(copy.glob("*.safetensors"))
    shards[1].unlink()
    shards[4].unlink()
    recorder = Recorder(synthesizer)
    fill_small(copy.parents[1], recorder)
    assert recorder.made == [4, 5, 6, 7, 16, 17, 18, 19]
    assert contents(copy) == before


def test_a_cache_can_grow(synthesizer: PairSynthesizer, copy: Path, tmp_path: Path) -> None:
    recorder = Recorder(synthesizer)
    fill_small(copy.parents[1], recorder, pairs=26)
    assert recorder.made == list(range(20, 26)), "the short shard is replaced, the whole ones stay"
    cache = PairStore(copy)
    assert len(cache) == 26
    for made, read in zip(
        synthesizer.make(range(18, 26), 0, "train"), cache.pairs(range(18, 26)), strict=True
    ):
        assert made.report == read.report and torch.equal(made.image, read.image)


def fill_slowly(directory: Path, image_size: int, workers: int) -> None:
    maker = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=image_size))
    make = maker.make
    maker.make = lambda *args: (time.sleep(0.15), make(*args))[1]  # type: ignore[method-assign]
    fill_cache(directory, StorePlan(maker, 21, shard_pairs=4), workers=workers, progress=False)


@pytest.mark.parametrize("workers", [0, 2])
def test_after_kill_9_the_filling_goes_on_and_ends_with_the_same_bytes(
    synthesizer: PairSynthesizer, filled: Path, tmp_path: Path, workers: int
) -> None:
    process = context().Process(target=fill_slowly, args=(tmp_path, synthesizer.image_size, workers))
    process.start()
    directory = cache_directory(tmp_path, plan(synthesizer).recipe(), "train")
    try:
        give_up = time.monotonic() + 120
        while len(list(directory.glob("*.ledger.json"))) < 2 and time.monotonic() < give_up:
            assert process.is_alive(), "the filling ended before it could be killed"
            time.sleep(0.005)
    finally:
        process.kill()
        process.join()
    time.sleep(
        0.5 if workers else 0
    )  # workers end by themselves when the parent is gone, some after another shard
    # Its ledger is written last: what has none yet is made again.
    finished = [path.name.removesuffix(".ledger.json") for path in directory.glob("*.ledger.json")]
    kept = {
        path.name: path.stat().st_ino for stem in finished for path in directory.glob(f"{stem}-*.safetensors")
    }
    assert 2 <= len(kept) < 6
    with pytest.raises(StoreError, match="holds no finished store"):
        PairStore(directory)
    (directory / f"half-a-shard.{process.pid}.tmp").write_bytes(b"PK")

    recorder = Recorder(synthesizer)
    fill_small(tmp_path, recorder)
    assert len(recorder.made) <= PAIRS - SHARD * (len(kept) - 1)
    for name, inode in kept.items():
        assert (directory / name).stat().st_ino == inode, "finished shards are kept as they are"
    assert contents(directory) == contents(filled)


def test_two_processes_may_fill_the_same_cache(
    filled: Path, tmp_path: Path, synthesizer: PairSynthesizer
) -> None:
    arguments = (tmp_path, synthesizer.image_size, 0)
    both = [context().Process(target=fill_slowly, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert contents(cache_directory(tmp_path, plan(synthesizer).recipe(), "train")) == contents(filled)


def test_a_stale_cache_is_refused_key_by_key(
    synthesizer: PairSynthesizer, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = plan(synthesizer, seed=1).recipe()
    with pytest.raises(StaleStoreError, match=r"seed: 0 → 1\n.*delete") as caught:
        PairStore(copy, other)
    assert "sampler" not in str(caught.value), "what is equal is not listed"
    other["synthesizer"] = {**other["synthesizer"], "sampler": {"ap_rate": 0.9}}
    with pytest.raises(StaleStoreError, match=r"synthesizer.sampler.ap_rate: 0.4 → 0.9"):
        PairStore(copy, other)
    moved = cache_directory(copy.parents[1], other, "train")
    shutil.copytree(copy, moved)

    with monkeypatch.context() as patch:
        patch.setattr(StorePlan, "recipe", lambda self: other)
        with pytest.raises(StaleStoreError, match="another configuration"):
            fill_cache(copy.parents[1], plan(synthesizer, seed=1), progress=False)


def test_a_new_recipe_says_how_it_differs_from_the_nearest_cache(
    synthesizer: PairSynthesizer, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill_cache(copy.parents[1], plan(synthesizer, 2, seed=9), progress=False)
    assert "seed: 0 → 9" in caplog.text


def test_a_part_that_one_recipe_lacks_is_one_line() -> None:
    plain = {"seed": 0, "synthesizer": {"name": "Pairs", "sampler": {"rate": 0.1}, "filters": []}}
    twins = {"seed": 0, "synthesizer": {"twins_of": plain["synthesizer"], "notes": {"a": 1, "b": 2}}}
    assert differences(plain, twins).splitlines() == [
        '  synthesizer.name: "Pairs" → (absent)',
        "  synthesizer.sampler: {rate} → (absent)",
        "  synthesizer.filters: [] → (absent)",
        "  synthesizer.twins_of: (absent) → Pairs",
        "  synthesizer.notes: (absent) → {a, b}",
    ]
    assert differences({"sizes": [1, 2]}, {"sizes": (1, 2)}) == "", "a tuple is read back as a list"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, Path.unlink])
def test_a_damaged_shard_is_refused_with_its_name_and_the_remedy(
    synthesizer: PairSynthesizer, copy: Path, damage: Any
) -> None:
    broken = first_shard(copy)
    damage(broken)
    with pytest.raises(DamagedStoreError, match=rf"{broken.name} .*run again: only its pairs"):
        PairStore(copy).pairs([1])


@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_shard_stops_the_filling_too_and_the_remedy_helps(
    synthesizer: PairSynthesizer, copy: Path, filled: Path, finished: bool
) -> None:
    broken = first_shard(copy)
    flip_a_byte(broken)
    if not finished:
        (copy / "manifest.json").unlink()
    with pytest.raises(DamagedStoreError, match=rf"{broken.name} is damaged.*Delete that file"):
        fill_small(copy.parents[1], synthesizer)
    broken.unlink()
    recorder = Recorder(synthesizer)
    fill_small(copy.parents[1], recorder)
    assert recorder.made == [0, 1, 2, 3]
    assert contents(copy) == contents(filled)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"fingerprint": "0", "recipe": {}}', "cannot be read"),
    ],
)
def test_a_damaged_manifest_is_refused(copy: Path, content: str, message: str) -> None:
    (copy / "manifest.json").write_text(content)
    with pytest.raises(DamagedStoreError, match=f"{message}.*Delete it and run again"):
        PairStore(copy)


def test_what_is_not_there_is_said(tmp_path: Path, filled: Path, synthesizer: PairSynthesizer) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        PairStore(tmp_path / "nowhere")
    with pytest.raises(IndexError, match=f"holds pairs 0 to {PAIRS - 1}; {PAIRS} was asked for"):
        PairStore(filled).pairs([PAIRS])
    with pytest.raises(ValueError, match="pairs=0"):
        fill_small(tmp_path, synthesizer, pairs=0)


def test_a_reader_can_go_to_another_process(filled: Path) -> None:
    cache = PairStore(filled)
    here = cache.pairs([9])[0]
    there = pickle.loads(pickle.dumps(cache)).pairs([9])[0]
    assert torch.equal(here.image, there.image)


def test_an_error_in_a_worker_reaches_the_caller(synthesizer: PairSynthesizer, tmp_path: Path) -> None:
    class Failing(Recorder):
        def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
            raise RuntimeError(f"cannot make {list(indices)}")

    with pytest.raises(RuntimeError, match="cannot make"):
        fill_small(tmp_path, Failing(synthesizer), workers=1)


def test_shards_that_changed_places_in_the_manifest_are_noticed(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    for change in ("pairs", "shards"):
        edited = dict(manifest)
        edited[change] = PAIRS - 1 if change == "pairs" else manifest["shards"][::-1]
        path.write_text(json.dumps(edited))
        with pytest.raises(DamagedStoreError, match="was changed after it was written"):
            PairStore(copy)
    path.write_text(json.dumps(manifest))
    assert len(PairStore(copy)) == PAIRS


def test_a_manifest_that_contradicts_itself_is_noticed_whoever_wrote_it(copy: Path) -> None:
    manifest = Manifest.read(copy, None)
    first, second, *rest = manifest.shards
    swapped = (
        replace(first, file=second.file, sha256=second.sha256, bytes=second.bytes),
        replace(second, file=first.file, sha256=first.sha256, bytes=first.bytes),
    )
    for change, message in [
        ({"shards": (second, first, *rest)}, "begins at"),
        ({"shards": (*swapped, *rest)}, "is called"),
        ({"shards": (first, *rest)}, "begins at"),
        ({"shards": manifest.shards[:-1]}, "its shards hold"),
        ({"pairs": PAIRS - 1}, "its shards hold"),
        ({"made": PAIRS + 1}, "its shards hold"),
        ({"shards": (replace(first, pairs=first.pairs + 1), second, *rest)}, "holds"),
    ]:
        replace(manifest, **change).write(copy)  # type: ignore[arg-type]
        with pytest.raises(DamagedStoreError, match=f"contradicts itself: .*{message}"):
            PairStore(copy)


def test_a_finished_store_is_only_read(synthesizer: PairSynthesizer, copy: Path) -> None:
    """So it may lie on a disk that is read-only, or belong to somebody else."""
    for lock in copy.glob(".lock*"):
        lock.unlink()
    before = {path: path.stat().st_mtime_ns for path in (copy, *copy.iterdir())}
    for path in (copy, *copy.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert fill_small(copy.parents[1], synthesizer) == copy
        assert len(PairStore(copy).pairs(range(PAIRS))) == PAIRS
        assert {path: path.stat().st_mtime_ns for path in (copy, *copy.iterdir())} == before
    finally:
        copy.chmod(0o755)


def test_what_is_to_be_made_where_nothing_may_be_written_is_refused(
    synthesizer: PairSynthesizer, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    assert fill_small(copy.parents[1], synthesizer) == copy
    with pytest.raises(StoreError, match=r"no finished store of 26 pairs and cannot be written to .*denied"):
        fill_small(copy.parents[1], synthesizer, pairs=26)


def test_a_store_may_grow_under_a_reader(synthesizer: PairSynthesizer, copy: Path) -> None:
    """The last, short shard is then part of a longer one: a training that reads the cache goes on."""
    reader = PairStore(copy)
    (old,) = copy.glob(f"{20:09}-{21:09}-*.safetensors")
    fill_small(copy.parents[1], synthesizer, pairs=26)
    assert not old.exists()
    (made,) = synthesizer.make([20], 0, "train")
    (read,) = reader.pairs([20])
    assert read.report == made.report and torch.equal(read.image, made.image)


def test_a_store_says_what_it_holds(synthesizer: PairSynthesizer, filled: Path, tmp_path: Path) -> None:
    manifest = PairStore(filled).manifest
    assert (manifest.split, manifest.made, manifest.pairs) == ("train", PAIRS, PAIRS)
    assert (manifest.image_size, manifest.has_masks) == (synthesizer.image_size, True)
    assert manifest.concept_names == synthesizer.catalog.names
    assert manifest.recipe["synthesizer"]["name"] == "PairSynthesizer"
    PairStore(filled).check_catalog(synthesizer.catalog)
    other = ConceptCatalog("configs/concepts/covid_19.yaml")
    with pytest.raises(StoreError, match=r"another concept catalogue.*has \['covid_19'.*Configure the cat"):
        PairStore(filled).check_catalog(other)
    text = DEFAULT_CATALOG.read_text()
    (tmp_path / "same.yaml").write_text(f"{text}\n# of another hand\n")
    with pytest.raises(StoreError, match="same concepts, but other definitions or rules"):
        PairStore(filled).check_catalog(ConceptCatalog(tmp_path / "same.yaml"))


def test_a_pair_that_cannot_be_made_is_an_error_where_every_index_needs_one(
    synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    class Never:
        version = 1

        def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
            return [Rejection("never")] * len(pairs)

        def describe(self) -> dict[str, Any]:
            return {}

    parts = (synthesizer.sampler, synthesizer.writer, synthesizer.image_maker)
    fussy = PairSynthesizer(*parts, [Never()], attempts=1)
    with pytest.raises(RuntimeError, match=r"pair 0 of 'train' .* rejected on every attempt: never"):
        fill_small(tmp_path, fussy, pairs=3)
    with pytest.raises(RuntimeError, match="left none of 3 pairs"):
        fill(tmp_path / "train", StorePlan(fussy, 3, complete=False), progress=False)


def test_plans_that_contradict_themselves_are_refused(synthesizer: PairSynthesizer) -> None:
    with pytest.raises(ValueError, match="corpus filters leave pairs out: set complete to False"):
        StorePlan(synthesizer, 3, filters=[NearDuplicateImages()])
    with pytest.raises(TypeError, match="TwinSynthesizer has no method `offer`"):
        StorePlan(TwinSynthesizer(synthesizer), 3, complete=False)
