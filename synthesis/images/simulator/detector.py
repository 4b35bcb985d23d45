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

from synthesis.images.simulator.exposure import Exposure
from synthesis.images.simulator.fields import products
from synthesis.images.simulator.tone import bend, curves

ATTENUATION = 0.0185  # per mm of water at the effective energy of a chest exposure (about 70 keV)
BODY = 15.0  # mm of water: less is air around the body
WINDOW = (-0.2, 1.6)  # of black and white, beyond which nothing is told apart
MID_SCALE = (0.45, 1.9)
"""S.d. in px of a 128 px picture of two Gaussians: of the aperture, and of what `detail` stands out from."""
HALVING = ATTENUATION / math.log(2)  # in powers of two, which a CPU computes four times as fast as of e


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
        curve: Of tones, (batch, steps), see `Tone`; None for none.
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
    curve: Tensor | None = None

    def one(self, i: int) -> Detector:
        """Return the detector of one patient of the batch."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return Detector(**{name: value[i : i + 1] for name, value in given.items()})

    def develop(self, integral: Tensor) -> Tensor:
        """Return grey values in [0, 1], (batch, height, width), of line integrals of the same patients.

        With a `curve`, all of one patient.
        """
        signal = (integral * -HALVING).exp2_().add_(self.scattered).log_()
        window = signal.mul_(self.gain).add_(self.offset).clamp_(*WINDOW)
        toned = _tone(window.sub_(self.local_mean), self.knee, self.gamma)
        if self.curve is not None:
            toned = bend(toned, self.curve[0])
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
    greys, curve = [e.greys for e in exposures if e.greys is not None], None
    if greys:
        curve = curves(toned, healthy > BODY, greys)
        toned = torch.cat([bend(one[None], bent) for one, bent in zip(toned, curve, strict=True)])
    # Blur and edges of the healthy picture are added as one fixed field: a finding stays pointwise.
    detail = toned - blurred(toned, 2.2 * scale)
    fixed = detail.mul_((0.8 * edge - blur) * (ceiling - floor)).add_(floor)
    gains = [e.detail for e in exposures if e.detail is not None]
    if gains:
        gain = torch.tensor(gains, device=healthy.device)[:, None, None]
        fine, wide = (_gaussian_blurred(toned, deviation * scale) for deviation in MID_SCALE)
        fixed.add_(fine).sub_(toned).addcmul_(fine.sub_(wide), gain)
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
        curve,
    )


def _window_ends(healthy: Tensor, log_signal: Tensor, exposures: Sequence[Exposure]) -> tuple[Tensor, Tensor]:
    """Return the percentiles that become black and white, over the body alone (every ninth pixel)."""
    bodies, signals = healthy[:, ::3, ::3], log_signal[:, ::3, ::3]
    ends = []
    for body, signal, exposure in zip(bodies, signals, exposures, strict=True):
        values = signal[body > BODY]
        last = max(len(values) - 1, 0)
        ends += [values.kthvalue(1 + round(last * end / 100)).values for end in (exposure.low, exposure.high)]
    low, high = torch.stack(ends).view(-1, 2, 1, 1).unbind(1)
    return low, high


def _noise(log_signal: Tensor, exposures: Sequence[Exposure]) -> Tensor:
    white = np.empty(log_signal.shape, dtype=np.float32)
    for exposure, field in zip(exposures, white, strict=True):
        np.random.default_rng(exposure.seed).standard_normal(dtype=np.float32, out=field)
        if exposure.grain:
            correlate(field, exposure.grain)
    amounts = torch.tensor([e.noise for e in exposures], device=log_signal.device)[:, None, None]
    # Relative noise grows as the square root of the attenuation (Poisson), from a signal of exp(-3).
    grain = (log_signal - 3.0).mul_(0.5 / math.log(2)).exp2_().clamp_(max=2.5)
    return torch.from_numpy(white).to(log_signal.device).mul_(grain).mul_(amounts)


def _gaussian_blurred(image: Tensor, deviation: float) -> Tensor:
    weights = _gaussian(image.shape[-1], deviation, image.device)
    return products(weights, image, weights.T)


@functools.lru_cache(maxsize=32)
def _gaussian(size: int, deviation: float, device: torch.device) -> Tensor:
    """Return the matrix that blurs a line of pixels, (size, size); at the ends within what is there."""
    line = torch.arange(size, device=device)
    weights = torch.exp(-0.5 * ((line[:, None] - line) / deviation) ** 2)
    return weights / weights.sum(1, keepdim=True)


def correlate(white: np.ndarray, correlation: float) -> None:
    """Give white noise (height, width) the spectrum of averaged noise, each way, in its memory.

    Noise that is averaged by overlapping weights as wide as two pixels is correlated between neighbours and
    with nothing further off: a moving average of order 1, of which both have the same spectrum.
    """
    share = (1 - math.sqrt(1 - 4 * correlation**2)) / (2 * correlation)
    for axis in (0, 1):
        white += share * np.roll(white, 1, axis)
        white /= math.sqrt(1 + share**2)


def _tone(level: Tensor, knee: Tensor, gamma: Tensor) -> Tensor:
    """Apply S-curve and gamma to a window less its local mean, in its memory: pointwise."""
    level.clamp_(min=1e-4)
    # A shoulder instead of a cut: dense structures run into white slowly, as film and vendors' curves do.
    over = (level - 0.75).relu_()
    flatter = (over * over).mul_(16).add_(1).rsqrt_().sub_(1)
    shoulder = level.addcmul_(over, flatter)
    bend = (shoulder - 0.5).mul_(shoulder).mul_(1 - shoulder)
    return shoulder.addcmul_(bend, knee).clamp_(1e-4, 1.0).log2_().mul_(gamma).exp2_()
