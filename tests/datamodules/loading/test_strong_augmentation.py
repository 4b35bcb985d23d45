from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from datamodules.loading.augmentation import Augmentation
from datamodules.loading.strong_augmentation import StrongAugmentation

OFF = {"blur": 0.0, "pool": 0.0, "sharpen": 0.0, "drop": 0.0, "impulse": 0.0, "multiply": 0.0}
ALONE = {
    "blur": 0.02,
    "pool": 0.05,
    "sharpen": 0.9,
    "drop": 0.3,
    "impulse": 0.3,
    "multiply": 0.5,
    "contrast": True,
    "invert": 1.0,
}


def only(**strengths: float) -> StrongAugmentation:
    return StrongAugmentation(**{**OFF, "contrast": False, "chance": 1.0, **strengths})


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    coarse = torch.rand(21, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, size=(48, 64), mode="bilinear")
    return (255 * (0.1 + 0.8 * smooth)).round().to(torch.uint8)


def rngs(count: int = 21, start: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng(start + k) for k in range(count)]


def test_switched_off_it_changes_nothing(images: torch.Tensor) -> None:
    grey = images / 255
    for nothing in (only(), StrongAugmentation(chance=0.0)):
        assert torch.equal(nothing.batch(grey, rngs()), grey)


def test_what_else_is_in_the_batch_changes_no_bit_and_half_of_the_changes_are_made(
    images: torch.Tensor,
) -> None:
    change = Augmentation(strong=StrongAugmentation(invert=0.3))
    together = change.batch(images, rngs())
    again = change.batch(images[[20, 3]], [np.random.default_rng(20), np.random.default_rng(3)])
    assert torch.equal(again, together[[20, 3]])
    assert together.shape == images.shape and 0 <= together.min() and together.max() <= 1
    assert torch.isfinite(together).all() and together.is_contiguous()
    grey, once = images / 255, only(multiply=0.5)
    seldom = StrongAugmentation(**{**vars(once), "chance": 0.25})
    changed = [seldom.batch(grey, rngs(start=21 * k)) != grey for k in range(20)]
    assert torch.stack(changed).flatten(2).any(2).float().mean() == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("name", ALONE)
def test_each_change_works_alone_and_leaves_everything_in_its_place(name: str, images: torch.Tensor) -> None:
    grey, before = images / 255, images.clone()
    changed = only(**{name: ALONE[name]}).batch(grey, rngs())
    assert torch.equal(images, before)
    assert (changed != grey).flatten(1).any(1).float().mean() > 0.9
    assert 0 <= changed.min() and changed.max() <= 1
    coarse, same = (F.avg_pool2d(some, 8).flatten(1) for some in (changed, grey))
    pairs = [torch.stack(pair) for pair in zip(coarse, same, strict=True)]
    assert torch.stack([torch.corrcoef(pair)[0, 1].abs() for pair in pairs]).median() > 0.6
    assert not Augmentation(scale=0, shift=0, strong=only(**{name: ALONE[name]})).moves


def test_changes_are_as_strong_as_they_say(images: torch.Tensor) -> None:
    grey = torch.full((40, 1, 48, 64), 0.6)
    dropped = (only(drop=0.15).batch(grey, rngs(40)) == 0).float().mean((1, 2, 3))
    assert 0.02 < dropped.min() and dropped.max() < 0.25 and dropped.mean() == pytest.approx(0.125, abs=0.02)
    spoilt = (only(impulse=0.1).batch(grey, rngs(40)) != 0.6).float().mean((1, 2, 3))
    assert 0.035 < spoilt.min() and spoilt.max() < 0.12
    factor = only(multiply=0.5).batch(grey, rngs(40)).amax((1, 2, 3)) / 0.6
    assert 0.5 <= factor.min() < 0.6 and factor.max() <= 1.5
    assert torch.allclose(only(invert=1.0).batch(grey, rngs(40)), 1 - grey)


def test_squares_are_pooled_in_four_ways(images: torch.Tensor) -> None:
    """Mean, greatest, least, median: each is met, and nothing but squares is left."""
    ramp = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).expand(40, -1, -1, -1)
    pooled = only(pool=0.032).batch(ramp, rngs(40))  # 2 px of 64
    squares = pooled.view(40, 32, 2, 32, 2).transpose(2, 3).flatten(3)
    assert torch.equal(squares.amin(3), squares.amax(3))
    assert len({round(float(one[0, 0, 0]) * 64 * 64, 1) for one in pooled}) == 4


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("chance", 1.5, "give a probability"),
        ("invert", -0.1, "give a probability"),
        *[(name, value, "0 switches it off") for name in OFF for value in (-0.1, 1.0, float("nan"))],
    ],
)
def test_senseless_strengths_are_refused(name: str, value: float, says: str) -> None:
    with pytest.raises(ValueError, match=rf"augmentation strong\.{name}=.*{says}"):
        StrongAugmentation(**{name: value})
