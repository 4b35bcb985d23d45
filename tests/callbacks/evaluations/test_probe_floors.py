from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from callbacks import ProbeFloors
from callbacks.evaluations.probe_floors import small_pixels
from lightning_modules import EncoderOutput, ImageEncoder, ViTEncoder


def spoilt(module: nn.Module) -> nn.Module:
    """A module as after training: no weight is what it was."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.7).add_(0.3)
    return module


def encoder(**settings) -> ViTEncoder:
    return ViTEncoder(image_size=32, patch_size=16, width=48, layers=2, heads=3, **settings)


SETTINGS = [{}, {"stem_channels": (8, 16, 16, 32), "projection_hidden": 24}, {"quiet_start": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_untrained_tower_is_what_the_constructor_makes(settings: dict) -> None:
    trained = spoilt(encoder(**settings))
    with torch.inference_mode():  # as at test
        again = copy.deepcopy(trained).untrained(7)
    torch.manual_seed(7)
    fresh = encoder(**settings)
    for (name, one), other in zip(again.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.requires_grad and not one.is_inference()
    quiet = [p for n, p in again.named_parameters() if n.endswith(("o_proj.weight", "fc2.weight"))]
    assert quiet and all(bool((p == 0).all()) == ("quiet_start" in settings) for p in quiet)
    assert again.eval()({"image": torch.rand(3, 1, 32, 32)}).pooled.shape == (3, 48)


def test_the_draw_depends_on_the_seed_alone_and_leaves_torch_and_the_model_as_they_were() -> None:
    trained = spoilt(encoder())
    weights = [parameter.clone() for parameter in trained.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (trained.untrained(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
    assert all(torch.equal(a, b) for a, b in zip(weights, trained.parameters(), strict=True))


def test_a_tower_that_was_given_modules_is_refused() -> None:
    class Wrapped(ImageEncoder):
        def __init__(self, body: nn.Module) -> None:
            super().__init__(4, 2)
            self.body = body

        def forward(self, batch: Any) -> EncoderOutput: ...

    with pytest.raises(TypeError, match=r"Wrapped was given Linear, .*override `untrained`"):
        Wrapped(body=nn.Linear(4, 4)).untrained(0)


def test_a_model_whose_encoder_cannot_be_made_anew_is_refused() -> None:
    model = SimpleNamespace(image_encoder=nn.Linear(2, 2))
    with pytest.raises(TypeError, match="Linear cannot be made anew"):
        ProbeFloors().on_test_start(SimpleNamespace(callbacks=[]), model)
    with pytest.raises(ValueError, match="seeds=0"):
        ProbeFloors(seeds=0)


def test_pixels_are_area_means() -> None:
    images = torch.rand(2, 1, 12, 8)
    small = small_pixels(images, 4)
    assert small.shape == (2, 16)
    torch.testing.assert_close(small[1, 5], images[1, 0, 3:6, 2:4].mean())
