from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch.utils.data import DataLoader

from synthesis import checksums
from synthesis.files import write_atomically
from synthesis.pairs import Pair
from synthesis.store import PairStore, StorePlan, errors
from synthesis.store.shard import Shard, encode


def plainly(pairs: Sequence[Pair]) -> bytes:
    """Return a file of pairs as it was written before records and masks were packed."""
    records = [
        json.dumps(
            {
                "index": pair.index,
                "case": asdict(pair.case),
                "report": {"findings": pair.report.findings, "impression": pair.report.impression},
                "notes": pair.notes,
                "attempt": pair.attempt,
                "rejections": [(why.kind, why.detail) for why in pair.rejections],
                "unwritten": pair.unwritten,
            }
        ).encode()
        for pair in pairs
    ]
    rows = [np.packbits(pair.masks.flatten(1).numpy(), axis=1) for pair in pairs if pair.masks is not None]
    counts = [-1 if pair.masks is None else len(pair.masks) for pair in pairs]
    row_bytes = -(-pairs[0].image[0].numel() // 8)
    return save(
        {
            "images": torch.stack([pair.image for pair in pairs]).numpy(),
            "records": np.frombuffer(b"".join(records), np.uint8),
            "record_ends": np.cumsum([len(record) for record in records]),
            "masks": np.concatenate([np.empty((0, row_bytes), np.uint8), *rows]),
            "mask_counts": np.array(counts),
        }
    )


@pytest.fixture(scope="module")
def pairs(plan: StorePlan) -> list[Pair]:
    made, _ = plan.make(range(12))
    no_masks = replace(made[0], masks=None)
    odd = replace(
        made[1], report=replace(made[1].report, findings='Two\nlines, "µ" \\ \u2028 and \0.', notes=())
    )
    return [no_masks, odd, *made[2:]]


@pytest.mark.parametrize("packed", [True, False])
def test_all_of_a_pair_comes_back_now_and_from_earlier_files(
    packed: bool, pairs: list[Pair], plan: StorePlan, tmp_path: Path
) -> None:
    catalog = plan.maker.catalog
    (tmp_path / "shard").write_bytes(encode(pairs, catalog) if packed else plainly(pairs))
    shard = Shard.open(tmp_path / "shard")
    assert len(shard) == len(pairs)
    assert any(pair.masks is not None and len(pair.masks) > 1 for pair in pairs)
    for position, pair in enumerate(pairs):
        read = shard.pair(position)
        same = {"image": None, "masks": None, "report": replace(pair.report, notes=())}
        assert replace(read, image=None, masks=None) == replace(pair, **same)  # type: ignore[arg-type]
        assert torch.equal(read.image, pair.image)
        for masks in (read.masks, shard.masks(position)):
            assert (masks is None) == (pair.masks is None)
            assert masks is None or pair.masks is None or torch.equal(masks, pair.masks)
        assert shard.report(position) == read.report and shard.case(position) == pair.case
        assert torch.equal(shard.labels(position, catalog), pair.labels(catalog))
        assert (shard.indices[position], shard.views[position]) == (pair.index, pair.case.view)


def test_packed_files_are_smaller_by_what_masks_and_records_took(pairs: list[Pair], plan: StorePlan) -> None:
    beside = [
        len(content) - sum(pair.image.numel() for pair in pairs)
        for content in (encode(pairs, plan.maker.catalog), plainly(pairs))
    ]
    assert beside[0] < 0.75 * beside[1]  # of twelve pairs, two thirds of which is the dictionary


def test_a_file_that_is_replaced_stays_what_it_was_for_its_reader(
    pairs: list[Pair], plan: StorePlan, tmp_path: Path
) -> None:
    path = tmp_path / "shard"
    write_atomically(path, encode(pairs, plan.maker.catalog))
    shard = Shard.open(path)
    write_atomically(path, encode(pairs[::-1], plan.maker.catalog))
    for position, pair in enumerate(pairs):
        assert torch.equal(shard.pair(position).image, pair.image)
        assert shard.case(position) == pair.case


def test_what_is_done_to_an_image_in_memory_never_reaches_the_file(
    pairs: list[Pair], plan: StorePlan, tmp_path: Path
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(encode(pairs, plan.maker.catalog))
    before = path.read_bytes()
    Shard.open(path).image(0).fill_(7)
    assert path.read_bytes() == before and torch.equal(Shard.open(path).image(0), pairs[0].image)
    shard = Shard.open(path)
    shard.pair(1).image.fill_(7)
    assert torch.equal(shard.image(1), pairs[1].image), "a whole pair is a copy"


class _Images:
    def __init__(self, store: PairStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, place: int) -> torch.Tensor:
        (pair,) = self.store.stored([place])
        return pair.image.clone()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_maps_serve_worker_processes_however_they_start(corpus: PairStore, start: str) -> None:
    here = [pair.image for pair in corpus.pairs(range(len(corpus)), masks=False)]  # all files are open
    loader = DataLoader(_Images(corpus), batch_size=None, num_workers=1, multiprocessing_context=start)  # type: ignore[arg-type,var-annotated]
    assert all(torch.equal(a, b) for a, b in zip(here, loader, strict=True))


def test_a_file_is_hashed_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    sha256 = checksums.file_sha256
    monkeypatch.setattr(checksums, "file_sha256", lambda path: (hashed.append(path), sha256(path))[1])
    path = tmp_path / "file"
    path.write_bytes(b"one")
    right = sha256(path)
    for _ in range(3):
        errors.check_sha256(path, right)
    assert hashed == [path]
    write_atomically(path, b"two")
    with pytest.raises(errors.DamagedStoreError, match="is damaged"):
        errors.check_sha256(path, right)
    assert hashed == [path, path]
