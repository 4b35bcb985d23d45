"""The exact code of images that a diffusion may learn in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from synthesis.patch_code import PatchCode


@settings(max_examples=15, deadline=None)
@given(patch=st.integers(2, 9), side=st.integers(1, 4), scale=st.floats(0.1, 9), whitening=st.floats(0, 2))
def test_nothing_is_lost(patch: int, side: int, scale: float, whitening: float) -> None:
    code = PatchCode(patch, scale, whitening)
    images = torch.rand(2, 1, patch * side, patch * side, generator=torch.Generator().manual_seed(patch))
    latents = code.encode(images)
    assert latents.shape == (2, code.channels, code.side(patch * side), side)
    torch.testing.assert_close(code.decode(latents), images, rtol=0, atol=1e-5)


def test_it_is_the_cosine_transform_of_each_patch() -> None:
    images = torch.rand(1, 1, 8, 12)
    latents = PatchCode(4, scale=1.5).encode(images)
    patch = 2 * images[0, 0, 4:8, 8:12].numpy() - 1
    np.testing.assert_allclose(latents[0, :, 1, 2].reshape(4, 4), 1.5 * dctn(patch, norm="ortho"), atol=1e-5)
    assert float(latents.square().mean()) == pytest.approx(1.5**2 * float((2 * images - 1).square().mean()))
    whitened = PatchCode(4, scale=1.5, whitening=1.0).encode(images) / latents
    torch.testing.assert_close(whitened[0, :, 0, 0].reshape(4, 4)[0], torch.tensor([1.0, 2, 3, 4]))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="patch=1: give 2 or more"):
        PatchCode(1)
    with pytest.raises(ValueError, match="scale=0: give more than 0"):
        PatchCode(scale=0)
    with pytest.raises(ValueError, match="image_size is 30, which is no multiple of patch=4"):
        PatchCode().side(30)
