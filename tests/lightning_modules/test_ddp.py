from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import (
    MFLAG,
    MGCA,
    Adaptation,
    ConceptAwareInfoNCE,
    ContradictionInfoNCE,
    CounterfactualTwins,
    DenseSupervision,
    GLoRIA,
    ImageAgreement,
    InfoNCE,
    MedCLIP,
    MultiViewInfoNCE,
    Objective,
    SideContrast,
    SigLIP,
    TwinDirection,
)
from lightning_modules.objectives import row_blocks
from tests.ddp import launch

HERE = Path(__file__).resolve()


class InBlocks(ContradictionInfoNCE):
    """On several ranks three rows at a time, on one process all."""

    def forward(self, images: Any, texts: Any, batch: Any, gather: Any) -> dict[str, Tensor]:
        with patch.object(row_blocks, "BLOCK", 3 * 8 if gather.world_size > 1 else 10**9):
            return super().forward(images, texts, batch, gather)


class Dense(DenseSupervision):
    """Of two concepts on 4 × 4 patches, whatever the data says."""

    def prepare(self, *_: Any) -> None:
        self._channels, self._side = ((0,), (1,)), 4


TERMS = {
    "terms": lambda: [
        *(Dense(32, ["a", "b"]), TwinDirection(2.0), ImageAgreement(temperature=0.2)),
        SideContrast(2.0, temperature=0.2),
    ]
}
OBJECTIVES = {
    "plain": lambda: InfoNCE(0.2, image_weight=0.75),
    "mask": lambda: ConceptAwareInfoNCE("mask", temperature=0.2),
    "soft": lambda: ConceptAwareInfoNCE("soft", 0.5, temperature=0.2),
    "contradiction": lambda: ContradictionInfoNCE(temperature=0.2),
    "blocks": lambda: InBlocks(temperature=0.2),
    "chunks": lambda: InfoNCE(0.2),
    "siglip": lambda: SigLIP(5.0, -3.0),
    "twins": lambda: CounterfactualTwins(InfoNCE(0.2), weight=2.0),
    "gloria": lambda: GLoRIA(32, 32, dim=16),
    "mgca": lambda: MGCA(32, 32, 16, dim=16, prototypes=6),
    "medclip": lambda: MedCLIP(temperature=0.2),
    "multi_view": lambda: MultiViewInfoNCE(temperature=0.2),
    "m_flag": lambda: MFLAG(),
    "terms": lambda: InfoNCE(0.2),
}
TEXT_ENCODER = {"m_flag": {"adaptation": Adaptation(frozen_layers="all")}}


class Keep(L.Callback):
    def __init__(self) -> None:
        self.gradients: dict[str, Tensor] = {}
        self.logged: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if not self.gradients:  # those of the first step
            self.gradients = {
                name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None
            }

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.logged = {key: float(value) for key, value in trainer.callback_metrics.items()}


def add_views(pairs: list[dict[str, Any]], name: str) -> None:
    """Give each pair a twin, with two of the first rank's and one of the second's missing, or more views."""
    others = [{key: pair[key] for key in ("image", "input_ids", "attention_mask")} for pair in pairs]
    for i, pair in enumerate(pairs):
        other = others[(i + 3) % 8]
        if name in ("twins", "terms"):
            pair["twins"] = {**other, "left_out": torch.tensor(-1 if i in (0, 2, 5) else i)}
        if name == "terms":
            texts = [{k: one[k] for k in ("input_ids", "attention_mask")} for one in (others[i - 1], other)]
            pair["twin_prompts"] = dict(zip(("present", "absent"), texts, strict=True))
            pair["sides_exchanged"] = {**texts[1], "contradicts": torch.tensor(i in (1, 2, 6))}
            pair["masks"] = torch.zeros(1, 32, 32, dtype=torch.bool)
            pair["masks"][:, i : 3 * i, 8:20] = True
            pair["mask_concepts"] = torch.tensor([int(i > 5)])  # the first rank shows one of the two alone
        if name in ("multi_view", "terms"):
            pair["other_images"] = [other["image"]]
        if name == "multi_view":
            pair["other_texts"] = [{key: other[key] for key in ("input_ids", "attention_mask")}]


def train(name: str, rank: int, ranks: int, directory: Path, joined: bool = True) -> dict[str, Any]:
    """Two steps on 8 pairs, split evenly over ranks; validation on 5, which does not divide."""
    torch.manual_seed(2)  # for layers and prototypes of its own
    objective: Objective = OBJECTIVES[name]()
    spec = importlib.util.spec_from_file_location("pairs", HERE.with_name("conftest.py"))
    assert spec is not None and spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    pairs = tiny.make_pairs(8)
    for i, names in enumerate(
        [0, 1, 0, 0, 1, 2, None, None]
    ):  # equal sets within and across ranks, two unknown
        pairs[i]["labels"] = (
            torch.full((2,), math.nan) if names is None else torch.tensor([names % 2, names // 2]).float()
        )
        pairs[i]["asserted"] = torch.tensor([i % 2, i // 4]).float()
        pairs[i]["denied"] = torch.tensor([(i + 1) % 2, 0]).float()
    for pair in pairs[4:]:
        pair["attention_mask"][6:] = 0
        pair["input_ids"] *= pair["attention_mask"]
    add_views(pairs, name)
    mine = pairs[rank * 8 // ranks : (rank + 1) * 8 // ranks]
    if ranks > 1 and rank == 1:  # its texts are shorter, and padded to another length
        keys = ("input_ids", "attention_mask")
        mine = [{k: v[:6] if k in keys else v for k, v in pair.items()} for pair in mine]
    held_out = pairs[rank:5:ranks]
    text = {"projection_hidden": 24, **TEXT_ENCODER.get(name, {})}
    at_once = 3 if name == "chunks" and ranks > 1 else None
    terms = TERMS.get(name, list)()
    keep, dual = Keep(), tiny.make_model(objective, text=text, encoded_at_once=at_once, terms=terms)
    fit = tiny.make_trainer(
        directory,
        devices=ranks if joined else 1,
        strategy="ddp" if joined and ranks > 1 else "auto",
        max_steps=2,
        callbacks=[keep],
        use_distributed_sampler=False,
    )
    loaders = [
        torch.utils.data.DataLoader(part, batch_size=size)
        for part, size in ((mine, 8 // ranks), (held_out, 2))
    ]
    fit.fit(dual, *loaders)
    assert keep.gradients.keys() == {key for key, p in dual.named_parameters() if p.requires_grad}
    return {
        "gradients": keep.gradients,
        "weights": dual.state_dict(),
        "logged": keep.logged,
        "val": dict(fit.callback_metrics),
    }


def on_each_rank(directory: Path) -> None:
    """What `tests/ddp.py` calls."""
    rank, ranks = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    found = {name: train(name, rank, ranks, directory) for name in OBJECTIVES}
    torch.save(found, directory / f"{rank}.pt")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("ranks")
    launch(HERE, "on_each_rank", directory)
    return [torch.load(directory / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_train_as_one(name: str, two_processes: list[dict[str, Any]], tmp_path: Path) -> None:
    one = train(name, 0, 1, tmp_path)
    for rank in two_processes:
        two = rank[name]
        for key, gradient in one["gradients"].items():  # both towers, projections and temperature
            torch.testing.assert_close(
                two["gradients"][key], gradient, rtol=1e-4, atol=5e-6, msg=lambda m, k=key: f"{k}: {m}"
            )
    halves = [rank[name]["logged"] for rank in two_processes]
    for key in (key for key in one["logged"] if key.startswith("train/")):  # each rank logs its own rows
        assert sum(half[key] for half in halves) / 2 == pytest.approx(one["logged"][key], rel=1e-4), key
    for key, value in two_processes[0][name]["weights"].items():
        assert torch.equal(value, two_processes[1][name]["weights"][key])
    assert math.isfinite(two_processes[0][name]["val"]["val/loss"])


def test_batches_that_are_not_gathered_have_another_gradient(tmp_path: Path) -> None:
    """The control: without the other rank's negatives the comparison above would fail."""
    one = train("plain", 0, 1, tmp_path)["gradients"]
    halves = [train("plain", rank, 2, tmp_path, joined=False)["gradients"] for rank in range(2)]
    flat = [torch.cat([part.flatten() for part in gradients.values()]) for gradients in (one, *halves)]
    assert (flat[0] - (flat[1] + flat[2]) / 2).norm() > 0.1 * flat[0].norm()
