"""A tiny data module and model that every callback can run on, and a run of all callbacks over them."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader

import callbacks
from callbacks.base import rows
from lightning_modules import EvaluationOutput
from tests.known_data import KnownData

CONCEPTS = ("cardiomegaly", "edema", "fracture", "hernia")
SIZE = 16


class TinyData(KnownData):
    """Noise with a bright patch for each finding; fracture is sometimes unknown, hernia hardly occurs."""

    concept_names = CONCEPTS

    def __init__(self, n: int = 121, batch: int = 32, text: bool = True) -> None:
        super().__init__()
        self.n, self.batch, self.text = n, batch, text
        prompts = {
            name: SimpleNamespace(
                prompts_present=(f"{name} is seen", name),
                prompts_absent=(f"no {name}", f"without {name}"),
                entity_type="abnormality",
            )
            for name in CONCEPTS
        }
        self.catalog = prompts

    def samples(self, split: str) -> list[dict]:
        rng = np.random.default_rng(zlib.crc32(split.encode()))
        rows = []
        for i in range(self.n):
            labels = (rng.random(4) < [0.5, 0.4, 0.3, 0.02]).astype(np.float32)
            image = 0.4 + 0.12 * rng.standard_normal((SIZE, SIZE)).astype(np.float32)
            masks = np.zeros((4, SIZE, SIZE), bool)
            for c in np.flatnonzero(labels):
                masks[c, 4 * c : 4 * c + 4, 2:9] = True
            image = np.clip(image + 0.15 * masks.any(0), 0, 1)
            named = [name for name, present in zip(CONCEPTS, labels, strict=True) if present]
            text = "FINDINGS: " + (", ".join(named) or "nothing to report") + "."
            if i % 11 == 0:
                labels[2] = np.nan
            rows.append(
                {
                    "image": torch.from_numpy(image.astype(np.float32))[None],
                    "labels": torch.from_numpy(labels),
                    "index": i,
                    "group": 1000 + i // 2,
                    "view": i % 3 - 1,
                    "report": text,
                    "masks": torch.from_numpy(masks[labels == 1]),
                    "mask_concepts": torch.from_numpy(np.flatnonzero(labels == 1)),
                }
            )
        return rows

    def collate(self, rows: list[dict]) -> dict:
        batch = {
            "image": torch.stack([row["image"] for row in rows]),
            "labels": torch.stack([row["labels"] for row in rows]),
            **{key: torch.tensor([row[key] for row in rows]) for key in ("index", "group", "view")},
            **{key: [row[key] for row in rows] for key in ("masks", "mask_concepts")},
        }
        return batch | ({"report": [row["report"] for row in rows]} if self.text else {})

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.samples("train"), 20, collate_fn=self.collate, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.samples("val"), self.batch, collate_fn=self.collate)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.samples("test"), self.batch, collate_fn=self.collate)


class TinyTower(nn.Module):
    """Pixels to pooled to projected features."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.projection = nn.Linear(SIZE * SIZE, 12), nn.Linear(12, 6)

    def untrained(self, seed: int) -> TinyTower:
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TinyTower()

    def forward(self, batch: dict) -> SimpleNamespace:
        pooled = self.body(batch["image"].flatten(1)).tanh()
        return SimpleNamespace(pooled=pooled, projected=normalize(self.projection(pooled), dim=1))


class TinyModel(L.LightningModule):
    """Trained by InfoNCE on bags of words."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image_encoder = TinyTower()
        self.words = nn.Embedding(64, 6)

    def encode_text(self, texts: list[str]) -> Tensor:
        words = [
            [zlib.crc32(word.strip(".,:").encode()) % 64 for word in text.lower().split()] for text in texts
        ]
        bags = [self.words(torch.tensor(bag, device=self.device)).sum(0) for bag in words]
        return normalize(torch.stack(bags), dim=1)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        logits = 8 * self.image_encoder(batch).projected @ self.encode_text(batch["report"]).T
        loss = nn.functional.cross_entropy(logits, torch.arange(len(logits)))
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: dict, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        out = self.image_encoder(batch)
        text = self.encode_text(batch["report"]) if "report" in batch else None
        return EvaluationOutput(out.projected, out.pooled, text)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)


def everything() -> list[L.Callback]:
    """Every callback, as a run has them."""
    return [
        callbacks.FeatureCollector(),
        callbacks.LinearProbe(folds=3, min_count=5, resamples=60, components={"pixels": 10}),
        callbacks.ZeroShot(min_count=5, resamples=60, subsets={"two": ["edema", "fracture"]}),
        callbacks.Retrieval(candidates=100, resamples=60),
        callbacks.EmbeddingGeometry(samples=50),
        callbacks.ProbeFloors(seeds=2, size=8),
        callbacks.PairGallery(pairs=4, queries=2, found=3, every_n_epochs=2),
        callbacks.RunSummary(),
    ]


def trainer(directory: Path, **settings: object) -> L.Trainer:
    """A quiet trainer on the CPU that leaves its files in ``directory``."""
    defaults: dict = {
        "accelerator": "cpu",
        "devices": 1,
        "callbacks": everything(),
        "logger": CSVLogger(str(directory), name="", version=""),
        "max_epochs": 2,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**(defaults | settings))


def evaluate_all(directory: Path, devices: int = 1, batch: int = 32) -> dict:
    """Tests an untrained model with every callback and returns what the summary says."""
    settings = {"devices": devices, "strategy": "ddp"} if devices > 1 else {}
    runner = trainer(directory, **settings)
    runner.test(TinyModel(), TinyData(batch=batch))
    runner.strategy.barrier()  # the first rank writes the summary
    return json.loads((directory / "summary.json").read_text())


SHARES: dict[str, tuple[list[int], list[int]]] = {
    "uneven": ([5, 0, 9, 2, 7, 3, 10], [4, 1]),
    "shared": ([0, 1, 2, 3], [3, 2, 4, 5]),
    "diverged": ([0, 1, 2], [3, 66]),  # the second rank's last sample has features that are not finite
}
"""Which samples each of two ranks is given."""


class ShareData(TinyData):
    """Some samples a rank, and not the same number."""

    def __init__(self, indices: list[int]) -> None:
        super().__init__(batch=3)
        self.indices = indices

    def test_dataloader(self) -> DataLoader:
        rows = self.samples("test")
        return DataLoader([rows[i] for i in self.indices], self.batch, collate_fn=self.collate)


class KeepIndex(L.Callback):
    """Notes which samples this rank has features of when the evaluations are done, and what they weigh."""

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        features = callbacks.FeatureCollector.of(trainer).features(trainer)
        found = [features.image, features.pooled, features.text, features.labels]
        self.index = features.index.tolist()
        self.floats = sum(tensor.numel() for tensor in found if tensor is not None)
        self.sums = features.index.double() @ features.pooled.double() if len(features) else torch.zeros(12)


class DivergedModel(TinyModel):
    """Its features of sample 66 are not finite."""

    def validation_step(self, batch: dict, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        out = super().validation_step(batch, batch_idx)
        out.pooled[batch["index"] == 66] = torch.inf
        return out

    test_step = validation_step


def evaluate_share(directory: Path, indices: list[int], devices: int) -> dict:
    """Tests on this rank's samples and says which it has at the end, and the figures."""
    keep = KeepIndex()
    settings: dict = {"strategy": "ddp"} if devices > 1 else {}
    own = [callbacks.FeatureCollector(), callbacks.EmbeddingGeometry(), keep]
    settings |= {"logger": False, "default_root_dir": directory, "use_distributed_sampler": False}
    runner = trainer(directory, devices=devices, callbacks=own, **settings)
    try:
        runner.test(DivergedModel(), ShareData(indices), verbose=False)
    except ValueError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    figures = {name: float(value) for name, value in runner.callback_metrics.items()}
    return {"index": keep.index, "floats": keep.floats, "sums": keep.sums.tolist(), "figures": figures}


def evaluate_on_two_ranks(directory: Path) -> None:
    """What `tests/ddp.py` calls."""
    evaluate_all(directory, devices=2, batch=16)
    rank = int(os.environ["LOCAL_RANK"])
    with patch.object(rows, "_BLOCK", 2):  # several messages a column
        found = {name: evaluate_share(directory, shares[rank], 2) for name, shares in SHARES.items()}
    found |= {f"rows of {k}": rows_at_zero(rank, (k,)) for k in range(2)}  # of one loader of several
    found["rows that differ"] = rows_at_zero(rank, (0, 1), {"text": ["a"]} if rank else {})
    (directory / f"rank-{rank}.json").write_text(json.dumps(found))


def rows_at_zero(rank: int, filled: tuple[int, ...], more: dict | None = None) -> dict | None:
    """Gathers a row or none a rank and says what this rank is given."""
    own = {"index": torch.tensor([rank]), "reports": [f"of {rank}"], **(more or {})}
    try:
        found = rows.on_rank_zero(own if rank in filled else {})
    except ValueError as error:
        return {"error": str(error)}
    return found and {"index": found["index"].tolist(), "reports": found["reports"]}


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """The names of this file, which tests cannot import."""
    return SimpleNamespace(
        Data=TinyData,
        Model=TinyModel,
        trainer=trainer,
        evaluate_all=evaluate_all,
        evaluate_share=evaluate_share,
        SHARES=SHARES,
        everything=everything,
        CONCEPTS=CONCEPTS,
    )
