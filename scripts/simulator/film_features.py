"""Simple features of radiographs, by which simulated and real ones are told apart: tones, texture, layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Floats = npt.NDArray[np.float64]

LEVELS = 32  # bins of the histogram
BANDS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 56, 64)  # edges in cycles an image
THUMBNAIL = 12  # px a side
BAND = (12, 24)  # cycles an image: vessels and edges of ribs


def histogram(images: Tensor) -> Floats:
    """Return the share of each of `LEVELS` grey levels, its square root, ``(image, level)``.

    Square roots (Hellinger's distance) let rare levels count beside frequent ones.

    Args:
        images: float ``(image, height, width)`` in [0, 1], as for all functions here.
    """
    levels = (images * LEVELS).long().clamp_(0, LEVELS - 1).flatten(1)
    shares = torch.stack([torch.bincount(row, minlength=LEVELS) for row in levels]) / levels.shape[1]
    return shares.sqrt().double().numpy()


def spectrum(images: Tensor) -> Floats:
    """Return the logarithm (base 10) of the mean power in each of `BANDS`, ``(image, band)``.

    Of images of mean 0 and deviation 1, so that contrast does not matter, under a Hann window, so that what
    meets at opposite borders makes no edge.
    """
    side = images.shape[-1]
    window = torch.hann_window(side, periodic=False)
    standard = _standardised(images) * window[:, None] * window
    power = torch.fft.fft2(standard).abs().square_()
    cycles = torch.fft.fftfreq(side) * side
    radius = (cycles[:, None].square() + cycles.square()).sqrt()
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(BANDS)]
    mean = torch.stack([power[:, ring].mean(1) for ring in rings if ring.any()], dim=1)
    return (mean + 1e-6).log10().double().numpy()


def texture(images: Tensor) -> Floats:
    """Return the power in bands and quantiles of local deviations at three scales, ``(image, feature)``."""
    local = [
        torch.quantile(_deviation(_standardised(images), reach).flatten(1), torch.tensor([0.1, 0.5, 0.9]), 1)
        for reach in (1, 2, 4)
    ]
    return np.concatenate([spectrum(images), (torch.cat(local).T + 1e-4).log().double().numpy()], axis=1)


def layout(images: Tensor) -> Floats:
    """Return smoothed thumbnails of mean 0 and deviation 1, ``(image, pixel)``: what is where."""
    small = F.interpolate(
        images[:, None], size=(THUMBNAIL, THUMBNAIL), mode="bilinear", antialias=True, align_corners=False
    )
    return _standardised(small[:, 0]).flatten(1).double().numpy()


GROUPS: Mapping[str, Callable[[Tensor], Floats]] = {
    "histogram": histogram,
    "texture": texture,
    "layout": layout,
}
"""Groups of features by name."""


def measures(images: Tensor) -> dict[str, Floats]:
    """Return what can be measured of radiographs without masks: name → ``(image,)``.

    Grey is stretched to the 1st to 99th percentile of each image first. The edge of the hemidiaphragms is the
    steepest rise of grey downwards, over 3 % of the height, in the lower half of the columns of either lung.
    """
    grey = stretched(images)
    side = grey.shape[-1]
    flat = grey.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = centred.square().mean(1).sqrt()
    rim = max(1, side // 64)
    frame = torch.ones(side, side, dtype=torch.bool)
    frame[rim:-rim, rim:-rim] = False
    middle = slice(side // 4, 3 * side // 4)
    fine = (grey - _mean(grey, max(1, round(side * 3 / 128))))[:, middle, middle]
    bands = spectrum(images)
    in_band = [k for k, low in enumerate(BANDS[:-1]) if BAND[0] <= low < BAND[1]]
    found = {
        "mean grey": flat.mean(1),
        "s.d. of grey": deviation,
        "skew of grey": centred.pow(3).mean(1) / deviation.pow(3).clamp(min=1e-9),
        "share darker than 0.1": (flat < 0.1).float().mean(1),
        "share brighter than 0.9": (flat > 0.9).float().mean(1),
        "mean grey of the outer frame": grey[:, frame].mean(1),
        "mean grey of the lowest tenth": grey[:, -side // 10 :].mean((1, 2)),
        "edge of the hemidiaphragms": _steepest_rise(grey),
        "fine texture of the middle": fine.flatten(1).std(1),
    }
    name = f"log10 power at {BAND[0]}–{BAND[1]} cycles an image"
    return {key: value.double().numpy() for key, value in found.items()} | {name: bands[:, in_band].mean(1)}


def stretched(images: Tensor) -> Tensor:
    """Return images whose 1st percentile is 0 and whose 99th is 1; one that is blank becomes 0."""
    low, high = torch.quantile(images.flatten(1), torch.tensor([0.01, 0.99]), dim=1)[:, :, None, None]
    return ((images - low) / (high - low).clamp(min=1e-3)).clamp_(0, 1)


def _steepest_rise(grey: Tensor) -> Tensor:
    side = grey.shape[-1]
    reach = max(1, round(0.03 * side))
    lungs = [slice(round(0.22 * side), round(0.38 * side)), slice(round(0.62 * side), round(0.78 * side))]
    rises = []
    for lung in lungs:
        columns = grey[:, side // 2 : round(0.97 * side), lung]
        rows = F.avg_pool2d(columns[:, None], (reach, 3), stride=1)[:, 0]
        rises.append((rows[:, reach:] - rows[:, :-reach]).amax(1).median(1).values)
    return torch.stack(rises).mean(0)


def _standardised(images: Tensor) -> Tensor:
    return F.layer_norm(images, images.shape[1:], eps=1e-8)


def _mean(images: Tensor, reach: int) -> Tensor:
    padded = F.pad(images[:, None], [reach] * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * reach + 1, stride=1)[:, 0]


def _deviation(images: Tensor, reach: int) -> Tensor:
    return (_mean(images * images, reach) - _mean(images, reach).square()).clamp_(min=0).sqrt_()
