from __future__ import annotations

import pytest
import torch
from torch import nn

from callbacks.evaluations.floors import reinitialised, small_pixels
from lightning_modules import ViTEncoder


def spoilt(module: nn.Module) -> nn.Module:
    """A module as after training: no weight is what it was."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.7).add_(0.3)
    return module


def encoder(**settings) -> ViTEncoder:
    return ViTEncoder(image_size=32, patch_size=16, width=48, layers=2, heads=3, **settings)


@pytest.mark.parametrize("settings", [{}, {"stem_channels": (8, 16, 16, 32), "projection_hidden": 24}])
def test_a_real_encoder_is_drawn_as_a_new_one_is(settings: dict) -> None:
    trained, fresh = spoilt(encoder(**settings)), encoder(**settings)
    with torch.inference_mode():  # as at test
        twin = reinitialised(trained, seed=0)
    for (name, new), old, other in zip(
        twin.named_parameters(), trained.parameters(), fresh.parameters(), strict=True
    ):
        assert not torch.equal(new, old), name
        if other.numel() < 50 or other.std() == 0:  # constants: norms, biases
            assert (other.std() > 0) == (new.std() > 0), name
        else:
            assert new.std().item() == pytest.approx(other.std().item(), rel=0.3), name
    pooled = twin.eval()({"image": torch.rand(3, 1, 32, 32)}).pooled
    assert pooled.shape == (3, 48) and pooled.isfinite().all()


def test_the_draw_depends_on_the_seed_alone_and_leaves_torch_and_the_model_as_they_were() -> None:
    trained = spoilt(encoder())
    weights = [parameter.clone() for parameter in trained.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (reinitialised(trained, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
    assert all(torch.equal(a, b) for a, b in zip(weights, trained.parameters(), strict=True))


def test_running_statistics_start_anew() -> None:
    norm = nn.BatchNorm2d(3)
    norm(torch.rand(4, 3, 5, 5) * 9)
    assert torch.equal(reinitialised(nn.Sequential(norm), 0)[0].running_mean, torch.zeros(3))


def test_a_weight_that_nothing_draws_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.token = nn.Linear(2, 2), nn.Parameter(torch.zeros(2))

    with pytest.raises(TypeError, match=r"\['token'\] of Odd .*reset_parameters"):
        reinitialised(Odd(), 0)

    class Mended(Odd):
        def reset_parameters(self) -> None:
            nn.init.normal_(self.token)

    assert reinitialised(Mended(), 0).token.std() > 0


def test_pixels_are_area_means() -> None:
    images = torch.rand(2, 1, 12, 8)
    small = small_pixels(images, 4)
    assert small.shape == (2, 16)
    torch.testing.assert_close(small[1, 5], images[1, 0, 3:6, 2:4].mean())
