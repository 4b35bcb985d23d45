"""Streaming in small, on two ranks and with two workers: the order, and resuming at the very batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from benchmarks import streaming
from datamodules.loading.samplers import MIXED_RUNS
from tests.ddp import launch

PAIRS, FILE, BATCH, RANKS = 480, 40, 8, 2
STEPS = PAIRS // (BATCH * RANKS)


def rank_batches(directory: Path, position: int = 0) -> Iterator[str]:
    """Yield the batches of this rank of two, on from a position."""
    rank = int(os.environ["LOCAL_RANK"])
    data = streaming.data_of(directory, directory / f"artifacts-{rank}", BATCH)
    data.rank_and_world = lambda: (rank, RANKS)  # type: ignore[method-assign]
    loader = data.train_dataloader()
    if position:
        loader.load_state_dict({"epoch": 0, "position": position})
    yield from streaming.fingerprints(iter(loader))
    held = data.source("train").corpus._open  # type: ignore[attr-defined]
    assert 0 < len(held) <= MIXED_RUNS + 1


def stream(directory: Path) -> None:
    """Stream an epoch of both kinds on each of two ranks, then the rest of it from its middle."""
    import torch.distributed as dist

    dist.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=RANKS)
    for kind in ("tar", "parquet"):
        straight, resumed = (
            list(rank_batches(directory / kind)),
            list(rank_batches(directory / kind, STEPS // 2)),
        )
        gathered: list[list[str] | None] = [None] * RANKS
        dist.all_gather_object(gathered, straight)
        if dist.get_rank() == 0:
            (directory / f"{kind}.json").write_text(json.dumps([*gathered, resumed]))
    dist.destroy_process_group()


def test_two_ranks_stream_and_resume_at_the_very_batch(tmp_path: Path) -> None:
    for kind in ("tar", "parquet"):
        streaming.write_corpus(kind, tmp_path / kind, PAIRS, FILE)
    launch(__file__, "stream", tmp_path)
    for kind in ("tar", "parquet"):
        first, second, resumed = json.loads((tmp_path / f"{kind}.json").read_text())
        assert len(first) == len(second) == STEPS and not set(first) & set(second)
        assert resumed == first[STEPS // 2 :]


def test_what_is_measured_is_whether_it_streams_at_all(tmp_path: Path) -> None:
    kept = {"kind": "tar", "pairs": 7}
    (tmp_path / "streaming.json").write_text(json.dumps([kept]))
    streaming.main(["--kinds=parquet", "--pairs=600", "--per-file=50", f"--results={tmp_path}"])
    found, other = json.loads((tmp_path / "streaming.json").read_bytes())
    assert other == kept, "what is not measured again stays"
    assert found["resumes at the very batch"] and found["another seed, another order"]
    assert found["samples a second"] > 0 and found["MB at most"] > 0
    assert "**no**" not in streaming.markdown([found])


def test_two_workers_stream_what_one_process_does(tmp_path: Path) -> None:
    streaming.write_corpus("tar", tmp_path / "tar", PAIRS, FILE)
    data = streaming.data_of(tmp_path / "tar", tmp_path / "artifacts", BATCH)
    found = []
    for workers in (0, 2):
        data.loader = replace(data.loader, num_workers=workers)
        found.append(list(islice(streaming.fingerprints(iter(data.train_dataloader())), 6)))
    assert found[0] == found[1]
