"""Two processes of Lightning's DDP, over gloo: what each rank is given, and who writes the cache."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from datamodules import LoaderOptions, SyntheticPairs
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from tests.ddp import launch


class Watcher(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": []}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen["train"].append(batch["index"].tolist())
        return self.weight.sum() + batch["image"].mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen["val"].append(batch["index"].tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(directory: Path, batch_size: int, **trainer: Any) -> Watcher:
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    data = SyntheticPairs(
        synthesizer, train_pairs=24, val_pairs=5, loader=LoaderOptions(batch_size, 2, 12),
        cache_dir=directory / "cache", artifacts_dir=directory / "artifacts", tokenizer_reports=300,
    )  # fmt: skip
    model = Watcher()
    silent = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    Trainer(
        accelerator="cpu",
        max_epochs=2,
        num_sanity_val_steps=0,
        default_root_dir=directory,
        **silent,
        **trainer,
    ).fit(model, datamodule=data)
    return model


def on_each_rank(directory: Path) -> None:
    # use_distributed_sampler keeps its default, True: Lightning must not cut the samples up a second time.
    model = run(directory, batch_size=3, strategy="ddp", devices=2)
    (directory / f"rank-{model.global_rank}.json").write_text(json.dumps(model.seen))


def test_two_ranks_share_the_steps_of_one(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    launch(__file__, "on_each_rank", tmp_path / "two")
    ranks = [json.loads((tmp_path / "two" / f"rank-{rank}.json").read_text()) for rank in range(2)]
    alone = run(tmp_path / "one", batch_size=6, devices=1).seen
    assert len(alone["train"]) == 4
    for step, *shares in zip(alone["train"], *(rank["train"] for rank in ranks), strict=True):
        assert all(len(share) == 3 for share in shares)
        assert sorted(chain(*shares)) == sorted(step)
    for rank in ranks:
        assert [len(batch) for batch in rank["val"]] == [2, 1] * 2, "as many steps on each rank"
    assert {index for rank in ranks for batch in rank["val"] for index in batch} == set(range(5))
    caches = [sorted(p.name for p in (tmp_path / n / "cache").rglob("*.*")) for n in ("one", "two")]
    assert caches[0] == caches[1] and len(caches[0]) >= 4
