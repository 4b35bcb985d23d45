"""From line integrals to grey values: exposure, scatter, noise and the processing that vendors apply.

Everything that looks beyond one pixel (scatter, windowing, local contrast, edge enhancement) is computed from
the healthy patient and then held fixed. A finding therefore changes the picture only where it changes the
line integral: counterfactual twins differ inside the mask and nowhere else, and no finding leaks into the
exposure.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.images.simulator.fields import products

ATTENUATION = 0.0185  # per mm of water at the effective energy of a chest exposure (about 70 keV)
WINDOW = (-0.2, 1.6)  # of black and white, beyond which nothing is told apart
HALVING = ATTENUATION / math.log(2)  # in powers of two, which a CPU computes four times as fast as of e


@dataclass(frozen=True)
class Exposure:
    """How one radiograph was exposed and processed.

    Attributes:
        scatter: Scattered over primary signal at the detector, 0.1 (grid, air gap) to 1 (bedside, no grid).
        noise: Quantum and electronic noise, relative to the signal behind the mediastinum.
        low, high: Percentiles of the healthy picture that become black and white.
        latitude: How far below the darkest point of the body black lies, as a share of the body's range.
        gamma: Below 1 brightens the lungs.
        knee: Steepness of the S-shaped characteristic curve (0 linear).
        equalise: Share of the local mean that is taken out (CLAHE-like multi-frequency processing).
        edge: Gain of unsharp masking.
        blur: Detector and motion blur in pixels of a 128 px image.
        seed: Of the noise.
    """

    scatter: float
    noise: float
    low: float
    high: float
    latitude: float
    gamma: float
    knee: float
    equalise: float
    edge: float
    blur: float
    floor: float
    ceiling: float
    seed: int


def draw_exposure(rng: np.random.Generator, portable: bool) -> Exposure:
    """Draw an exposure: mostly of diagnostic quality, one in twelve of poor quality."""
    poor = rng.random() < 0.08
    tail = 1.8 if poor else 1.0
    return Exposure(
        scatter=float(rng.uniform(0.3, 1.0) if portable else rng.uniform(0.1, 0.5)),
        noise=float(rng.uniform(0.006, 0.03) * tail),
        low=float(rng.uniform(0.5, 4)),
        high=float(rng.uniform(89, 99.7)),
        latitude=float(rng.uniform(0.2, 0.6) if portable else rng.uniform(0.05, 0.45)),
        gamma=float(np.exp(rng.normal(0.0, 0.13 * tail))),
        knee=float(rng.uniform(0.0, 1.6)),
        equalise=float(rng.uniform(0.0, 0.38)),
        edge=float(rng.uniform(0.2, 0.9) * (rng.random() >= 0.35)),
        blur=float(rng.uniform(0.0, 0.3) * tail),
        floor=float(rng.uniform(0.0, 0.08)),
        ceiling=float(rng.uniform(0.9, 1.0)),
        seed=int(rng.integers(2**62)),
    )


def blurred(image: Tensor, radius: float) -> Tensor:
    """Return a wide blur of square images, (batch, height, width): interpolated means of cells of a size.

    Both are linear and separable, so small matrix products do them: large kernels would cost most of the
    rendering time.
    """
    down, up = _pooling(image.shape[-2], radius, image.device)
    return products(up, products(down, image, down.T), up.T)


@functools.lru_cache(maxsize=32)
def _pooling(size: int, radius: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the matrices that average a line of pixels over cells, (cells, size), and that go back."""
    cells = max(3, round(size / radius))
    down = F.adaptive_avg_pool1d(torch.eye(size)[None], cells)[0].T
    # Linear is enough where a cell is a few pixels; wide blurs would show its facets.
    line = torch.eye(cells)[None, None]
    if radius > 5:
        up = F.interpolate(line, size=(cells, size), mode="bicubic", align_corners=False)[0, 0].T
    else:
        up = F.interpolate(line[0], size=size, mode="linear", align_corners=False)[0].T
    return down.contiguous().to(device), up.contiguous().to(device)


@dataclass(frozen=True)
class Detector:
    """Develops line integrals of patients under fixed exposures and healthy pictures: see `expose`.

    Everything that depends on an exposure alone is worked out beforehand; maps are (batch, height, width),
    numbers (batch, 1, 1).

    Attributes:
        scattered: Scattered signal.
        offset, gain: A logarithm of the signal times `gain` plus `offset`, noise included, is the window.
        local_mean: What local equalisation takes out.
        knee, gamma: See `Exposure`.
        fixed, span: Grey value of black, blur and edges; range of grey values.
        toned: The healthy picture, without noise.
    """

    scattered: Tensor
    offset: Tensor
    gain: Tensor
    local_mean: Tensor
    knee: Tensor
    gamma: Tensor
    fixed: Tensor
    span: Tensor
    toned: Tensor

    def one(self, i: int) -> Detector:
        """Return the detector of one patient of the batch."""
        return Detector(**{name: value[i : i + 1] for name, value in vars(self).items()})

    def develop(self, integral: Tensor) -> Tensor:
        """Return grey values in [0, 1], (batch, height, width), of line integrals of the same patients."""
        signal = (integral * -HALVING).exp2_().add_(self.scattered).log_()
        window = signal.mul_(self.gain).add_(self.offset).clamp_(*WINDOW)
        toned = _tone(window.sub_(self.local_mean), self.knee, self.gamma)
        return toned.mul_(self.span).add_(self.fixed).clamp_(0, 1)


def expose(healthy: Tensor, exposures: Sequence[Exposure]) -> Detector:
    """Set up the detector for patients.

    Args:
        healthy: Line integrals without findings, (batch, height, width), mm of water.
        exposures: One an image.
    """
    names = ("scatter", "latitude", "equalise", "knee", "gamma", "blur", "edge", "floor", "ceiling")
    table = torch.tensor([[getattr(e, name) for e in exposures] for name in names], device=healthy.device)
    scatter, latitude, equalise, knee, gamma, blur, edge, floor, ceiling = table[:, :, None, None]
    scale = healthy.shape[-1] / 128
    transmitted = (healthy * -HALVING).exp2_()
    scattered = blurred(transmitted, 14 * scale).clamp_(min=1e-4).mul_(scatter)
    log_signal = transmitted.add_(scattered).log_().neg_()
    low, high = _window_ends(healthy, log_signal, exposures)
    margin = latitude * (high - low)
    low, span = low - margin, (high - low + margin).clamp(min=0.4)
    noise = _noise(log_signal, exposures)
    window = (log_signal - low).div_(span).clamp_(*WINDOW)
    local_mean = blurred(window, 22 * scale).sub_(0.5).mul_(equalise)
    toned = _tone(window.sub_(local_mean), knee, gamma)
    # Blur and edges of the healthy picture are added as one fixed field: a finding stays pointwise.
    detail = toned - blurred(toned, 2.2 * scale)
    fixed = detail.mul_((0.8 * edge - blur) * (ceiling - floor)).add_(floor)
    return Detector(
        scattered,
        noise.sub_(low).div_(span),
        -1 / span,
        local_mean,
        knee,
        gamma,
        fixed,
        ceiling - floor,
        toned,
    )


def _window_ends(healthy: Tensor, log_signal: Tensor, exposures: Sequence[Exposure]) -> tuple[Tensor, Tensor]:
    """Return the percentiles that become black and white, over the body alone (every ninth pixel)."""
    bodies, signals = healthy[:, ::3, ::3], log_signal[:, ::3, ::3]
    ends = []
    for body, signal, exposure in zip(bodies, signals, exposures, strict=True):
        values = signal[body > 15]
        last = max(len(values) - 1, 0)
        ends += [values.kthvalue(1 + round(last * end / 100)).values for end in (exposure.low, exposure.high)]
    low, high = torch.stack(ends).view(-1, 2, 1, 1).unbind(1)
    return low, high


def _noise(log_signal: Tensor, exposures: Sequence[Exposure]) -> Tensor:
    white = np.empty(log_signal.shape, dtype=np.float32)
    for exposure, field in zip(exposures, white, strict=True):
        np.random.default_rng(exposure.seed).standard_normal(dtype=np.float32, out=field)
    amounts = torch.tensor([e.noise for e in exposures], device=log_signal.device)[:, None, None]
    # Relative noise grows as the square root of the attenuation (Poisson), from a signal of exp(-3).
    grain = (log_signal - 3.0).mul_(0.5 / math.log(2)).exp2_().clamp_(max=2.5)
    return torch.from_numpy(white).to(log_signal.device).mul_(grain).mul_(amounts)


def _tone(level: Tensor, knee: Tensor, gamma: Tensor) -> Tensor:
    """Apply S-curve and gamma to a window less its local mean, in its memory: pointwise."""
    level.clamp_(min=1e-4)
    # A shoulder instead of a cut: dense structures run into white slowly, as film and vendors' curves do.
    over = (level - 0.75).relu_()
    flatter = (over * over).mul_(16).add_(1).rsqrt_().sub_(1)
    shoulder = level.addcmul_(over, flatter)
    bend = (shoulder - 0.5).mul_(shoulder).mul_(1 - shoulder)
    return shoulder.addcmul_(bend, knee).clamp_(1e-4, 1.0).log2_().mul_(gamma).exp2_()
