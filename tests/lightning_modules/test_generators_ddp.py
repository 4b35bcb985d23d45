"""Generators on two processes: the same weights on both, and no parameter that DDP waits for in vain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import BertTokenizerFast

from lightning_modules import ConditionalGAN, LatentAutoencoder, LatentDiffusion, ReportEncoder
from tests.ddp import launch

STRATEGY = {"gan": "ddp_find_unused_parameters_true", "autoencoder": "ddp", "diffusion": "ddp"}
UNET = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


def build(kind: str, directory: Path) -> Any:
    torch.manual_seed(0)
    encoder = ReportEncoder(vocab_size=16, width=8, layers=1, max_length=8)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
    encoder.take_tokenizer(BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}))
    if kind == "gan":
        return ConditionalGAN(encoder, image_size=16, latent_dim=4, width=8, warmup=0)
    autoencoder = LatentAutoencoder(image_size=16, channels=(16, 16), warmup=0)
    if kind == "autoencoder":
        return autoencoder
    where = directory / f"autoencoder-{os.environ['LOCAL_RANK']}"
    autoencoder.export(where)
    return LatentDiffusion(encoder, str(where), unet=UNET, warmup=0)


def on_each_rank(directory: Path) -> None:
    """What `tests/ddp.py` calls."""
    rank, ranks = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    draw = torch.Generator().manual_seed(1)
    samples = [
        {"image": torch.rand(1, 16, 16, generator=draw), "index": torch.tensor(i), "report": "abc"[i % 3]}
        for i in range(8)
    ]
    found = {}
    for kind, strategy in STRATEGY.items():
        model = build(kind, directory)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        trainer = L.Trainer(
            **{"accelerator": "cpu", "devices": ranks, "strategy": strategy, "max_epochs": 2},
            **{"default_root_dir": directory, "use_distributed_sampler": False, "logger": False},
            **{"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False},
        )
        trainer.fit(model, DataLoader(samples[rank::ranks], batch_size=2))  # type: ignore[arg-type]
        found[kind] = before, model.state_dict()
    torch.save(found, directory / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_hold_the_same_weights_after_training(tmp_path: Path) -> None:
    launch(__file__, "on_each_rank", tmp_path)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for kind in STRATEGY:
        (before, after), (_, other) = (rank[kind] for rank in ranks)
        assert any(not torch.equal(before[name], value) for name, value in after.items())
        buffers = {"latent_std"}  # a running average of the rank's own latents; rank zero's is exported
        for name, value in after.items():
            assert name in buffers or torch.equal(value, other[name]), (kind, name)
