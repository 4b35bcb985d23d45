"""Equalised images in the tower: ranks by counting, and towers that see one or both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from datamodules.batch import Batch
from lightning_modules import (
    ConvNeXtEncoder,
    CounterfactualTwins,
    Detection,
    InfoNCE,
    ResNetEncoder,
    ViTEncoder,
)
from lightning_modules.objectives import Gather
from lightning_modules.tones import equalised

SIZES: dict[str, Any] = {"width": 32, "projection_dim": 8}
TOWERS: dict[str, Any] = {
    "vit": lambda **more: ViTEncoder(32, 16, layers=1, heads=2, **SIZES, **more),
    "stem": lambda **more: ViTEncoder(
        32, 16, layers=1, heads=2, **SIZES, stem_channels=[4, 4, 8, 8], pooling="spatial", **more
    ),
    "resnet": lambda **more: ResNetEncoder(32, depths=[1, 1, 1, 1], **SIZES, **more),
    "convnext": lambda **more: ConvNeXtEncoder(32, depths=[1, 1, 1, 1], **SIZES, **more),
}


@pytest.fixture
def batch() -> Batch:
    levels = torch.randint(20, 200, (6, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    return {"image": levels / 255}


def tower(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return TOWERS[name](**more)


def test_a_pixel_becomes_its_mean_rank(batch: Batch) -> None:
    for image, found in zip(batch["image"], equalised(batch["image"]), strict=True):
        ranks = (rankdata(image.numpy().round(6)).reshape(image.shape) - 0.5) / image.numel()
        np.testing.assert_allclose(found.numpy(), (ranks - 0.5) * np.sqrt(12), atol=1e-5)
    assert equalised(batch["image"]).std() == pytest.approx(1, abs=0.01)
    assert (equalised(torch.full((2, 1, 8, 8), 0.3)) == 0).all()


def test_no_rising_curve_leaves_a_trace(batch: Batch) -> None:
    curve = torch.sort(torch.randperm(256, generator=torch.Generator().manual_seed(1))[:180]).values / 255
    bent = curve[(batch["image"] * 255).round().long() - 20]
    assert torch.equal(equalised(bent), equalised(batch["image"]))
    encoder = tower("vit", tones="equalised").eval()
    assert torch.equal(encoder({"image": bent}).pooled, encoder(batch).pooled)
    assert not torch.equal(tower("vit").eval()({"image": bent}).pooled, tower("vit").eval()(batch).pooled)


@pytest.mark.parametrize("tones", ["equalised", "both", "random"])
@pytest.mark.parametrize("name", TOWERS)
def test_every_tower_trains_on_every_tone(name: str, tones: Any, batch: Batch) -> None:
    encoder = tower(name, tones=tones)
    encoder(batch).projected.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)
    seen = encoder.normalised(batch)
    assert seen.shape == (6, encoder.channels, 32, 32) and encoder.channels == 1 + (tones == "both")


def test_both_are_plain_and_equalised(batch: Batch) -> None:
    plain, flat, both = (tower("vit", tones=t).normalised(batch) for t in ("plain", "equalised", "both"))
    assert torch.equal(both, torch.cat([plain, flat], 1))


def test_either_is_seen_in_training_and_equalised_after(batch: Batch) -> None:
    plain, flat = (tower("vit", tones=t).normalised(batch) for t in ("plain", "equalised"))
    encoder = tower("vit", tones="random")
    torch.manual_seed(2)
    seen = [encoder.normalised(batch) for _ in range(40)]
    chosen = torch.stack([(one == flat).flatten(1).all(1) for one in seen])
    others = torch.stack([(one == plain).flatten(1).all(1) for one in seen])
    assert torch.equal(others, ~chosen) and 0.35 < chosen.float().mean() < 0.65
    assert torch.equal(encoder.eval().normalised(batch), flat)


@pytest.mark.parametrize("at_once", [None, 2])
def test_twins_are_seen_in_the_same_tones_and_other_views_in_their_own(
    model: Any, at_once: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is its own twin and its own second view: only tones can tell them apart."""
    dual = model(CounterfactualTwins(InfoNCE()), encoded_at_once=at_once).train()
    encoder = dual.image_encoder
    encoder.tones = "random"
    seen: list[Tensor] = []
    whole = encoder.normalised
    monkeypatch.setattr(encoder, "normalised", lambda b: seen.append(whole(b)) or seen[-1])
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(32, 1, encoder.image_size, encoder.image_size, generator=generator)
    texts = {"input_ids": torch.full((32, 6), 7), "attention_mask": torch.ones(32, 6).long()}
    twins = {"image": images, **texts, "left_out": torch.zeros(32).long()}
    torch.manual_seed(0)
    batch = dual._with_twins({"image": images, **texts, "twins": twins, "other_images": [images]})
    dual.losses(batch, Gather())
    twin, own, other = torch.cat(seen).split(32)
    assert torch.equal(twin, own), "the same coin, whatever else is drawn"
    flat = (own == equalised(images)).flatten(1).all(1)
    assert 0.25 < flat.float().mean() < 0.75
    assert 0.25 < (other != own).flatten(1).any(1).float().mean() < 0.75


def test_trained_weights_begin_with_the_mean_of_both(tmp_path: Path, batch: Batch) -> None:
    """A tower of one channel as `pretrained`: alike in both channels, it says what it said."""
    for name in ("vit", "convnext"):
        one = tower(name)
        (one.vit if name == "vit" else one.tower).save_pretrained(tmp_path / name)
        two = tower(name, pretrained=str(tmp_path / name), tones="both").eval()
        network, wide = (e.vit if name == "vit" else e.tower for e in (one.eval(), two))
        x: Tensor = batch["image"]
        with torch.no_grad():
            expected, found = network(x).last_hidden_state, wide(x.expand(-1, 2, -1, -1)).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_task_that_runs_parts_of_the_tower_takes_both_channels(batch: Batch) -> None:
    task = Detection(tower("vit", tones="both"), concepts=["mass"], channels=8)
    found = task.outputs(batch | {"boxes": [], "box_concepts": []})
    assert found.boxes.shape[::2] == (6, 4)


@pytest.mark.parametrize("name", TOWERS)
def test_unknown_tones_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"tones is 'grey': give one of plain, equalised, both, random"):
        tower(name, tones="grey")
