"""Convolutional towers: patches are places, weights for colour become grey ones, objectives and tasks run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import (
    MGCA,
    BertEncoder,
    ConvNeXtEncoder,
    DualEncoder,
    GLoRIA,
    ImageEncoder,
    InfoNCE,
    ResNetEncoder,
    Segmentation,
)

Make = Callable[..., Any]
TINY: dict[str, Any] = {"image_size": 64, "width": 32, "depths": [1, 1, 1, 1], "projection_dim": 8}
TOWERS = {
    "resnet": (ResNetEncoder, {}),
    "basic resnet": (ResNetEncoder, {"block": "basic"}),
    "convnext": (ConvNeXtEncoder, {}),
}
CONVIRT = {"temperature": 0.1, "learnable": False, "image_weight": 0.75}
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "InfoNCE": InfoNCE,
    "ConVIRT": lambda: InfoNCE(**CONVIRT),
    "GLoRIA": lambda: GLoRIA(32, 16, dim=8),
    "MGCA": lambda: MGCA(32, 16, 8, dim=8, prototypes=4),
}


def tower(name: str, **options: Any) -> Any:
    kind, own = TOWERS[name]
    torch.manual_seed(0)
    return kind(**{**TINY, **own, **options})


def dual(image: ImageEncoder, objective: Any) -> DualEncoder:
    text = BertEncoder(20, width=16, layers=1, heads=2, max_length=16, projection_dim=8)
    return DualEncoder(image, text, objective, learning_rate=1e-3, warmup=0)


@pytest.fixture
def images() -> dict[str, Tensor]:
    return {"image": torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize("name", TOWERS)
def test_patches_are_the_places_of_the_image_row_by_row(name: str, images: dict[str, Tensor]) -> None:
    encoder = tower(name, image_size=128).eval()
    images = {"image": torch.rand(2, 1, 128, 128)}
    with torch.no_grad():
        found = encoder(images)
        assert found.local.shape == (2, 16, 32) and found.pooled.shape == (2, 32)
        torch.testing.assert_close(found.pooled, found.local.mean(1))
        torch.testing.assert_close(
            torch.nn.functional.normalize(encoder.project_local(found).mean(1), dim=1), found.projected
        )
        changed = images["image"].clone()
        changed[:, :, 40:60, 100:124] = 1 - changed[:, :, 40:60, 100:124]  # second row, fourth place
        moved = (encoder(images | {"image": changed}).local - found.local).norm(dim=2)
    assert moved.shape == (2, 16)
    assert set(moved.argmax(1).tolist()) <= {7, 11}, "there, or at the next place below: fields overlap"
    maps = encoder.hidden_maps(images)
    assert [m.shape[1] for m in maps] == [4, 8, 16, 32] and [m.shape[2] for m in maps] == [32, 16, 8, 4]


def test_the_default_is_resnet_50() -> None:
    from transformers import ResNetConfig, ResNetModel

    with torch.device("meta"):
        ours, theirs = ResNetEncoder(), ResNetModel(ResNetConfig(num_channels=1))
    shapes = {name: value.shape for name, value in ours.tower.state_dict().items()}
    assert shapes == {name: value.shape for name, value in theirs.state_dict().items()}
    assert ours.width == 2048 and sum(p.numel() for p in ours.tower.parameters()) > 23e6


@pytest.mark.parametrize("name", TOWERS)
def test_weights_for_colour_see_grey_images_as_equal_channels(
    name: str, images: dict[str, Tensor], tmp_path: Path
) -> None:
    encoder = tower(name)
    config = encoder.tower.config
    config.num_channels = 3
    torch.manual_seed(3)
    colour = type(encoder.tower)(config).eval()
    colour.save_pretrained(tmp_path)
    read = tower(name, pretrained=str(tmp_path), mean=0.5, std=0.25)
    assert all(module.training for module in read.modules()), (
        "else BatchNorm and dropout stay out of training"
    )
    read.eval()
    normalised = (images["image"] - 0.5) / 0.25
    with torch.no_grad():
        expected = colour(normalised.expand(-1, 3, -1, -1)).last_hidden_state
        found = read.tower(normalised).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"not of the size asked for.*set depths: \[1, 1, 1, 1\]"):
        tower(name, depths=[1, 2, 1, 1], pretrained=str(tmp_path))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_objectives_train_on_them(
    name: str, objective: str, data: Make, trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dual(tower(name, image_size=32), OBJECTIVES[objective]())
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer(max_steps=3, limit_val_batches=0).fit(model, data())
    after = {name: value for name, value in model.named_parameters() if value.requires_grad}
    still = [name for name, value in after.items() if torch.equal(value, before[name])]
    assert not still, "DDP refuses what has no gradient"


def test_a_frozen_tower_keeps_its_statistics_from_the_first_step(data: Make, trainer: Make) -> None:
    text = BertEncoder(20, width=16, layers=1, heads=2, max_length=16, projection_dim=8)
    model = DualEncoder(tower("resnet", image_size=32), text, InfoNCE(), warmup=0, frozen=["image_encoder"])
    before = {name: value.clone() for name, value in model.image_encoder.state_dict().items()}
    trainer(max_steps=2, limit_val_batches=0).fit(model, data())
    after = model.image_encoder.state_dict()
    assert not [name for name, value in after.items() if not torch.equal(value, before[name])]


@pytest.mark.parametrize("name", TOWERS)
def test_they_are_exported_and_read_back(name: str, tokenizer: Any, tmp_path: Path) -> None:
    from lightning_modules.exported import export, read_directory

    model = dual(tower(name), InfoNCE())
    model.train()
    for _ in range(3):  # BatchNorm's statistics are part of the weights
        model.image_encoder({"image": torch.rand(4, 1, 64, 64)})
    model.tokenizer = tokenizer
    export(model, tmp_path)
    read = read_directory(tmp_path)
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(read.encode_patches(images), model.encode_patches(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_segmentation_decodes_their_maps(name: str, images: dict[str, Tensor]) -> None:
    model = Segmentation(image_encoder=tower(name), concepts=["mass", "nodule"], channels=2)
    logits, last = model._forward(images)
    assert logits.shape == (3, 2, 64, 64) and last.shape == (3, 32, 2, 2)
    (logits.sum()).backward()
    silent = [n for n, p in model.decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    with torch.no_grad():
        changed = images["image"].clone()
        changed[0, 0, :16, :16] += 0.5
        moved = (model._forward({"image": changed})[0] - logits).abs()
    assert moved[0, 0, :16, :16].mean() > 2 * moved[0, 0, 48:, 48:].mean(), "what changed is where it changed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 50}, "image_size is 50: give a multiple of 32"),
        ({"image_size": 0}, "image_size is 0"),
        ({"depths": [1, 1]}, r"depths are \[1, 1\]"),
        ({"depths": [1, 0, 1, 1]}, "a block or more"),
        ({"width": 20}, "width 20"),
        ({"mean": 0.5}, "give both"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tower("resnet", **options)
