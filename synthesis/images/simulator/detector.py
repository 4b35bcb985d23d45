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

ATTENUATION = 0.0185  # per mm of water at the effective energy of a chest exposure (about 70 keV)
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
        edge=float(rng.choice([0.0, rng.uniform(0.2, 0.9)], p=[0.35, 0.65])),
        blur=float(rng.uniform(0.0, 0.3) * tail),
        floor=float(rng.uniform(0.0, 0.08)),
        ceiling=float(rng.uniform(0.9, 1.0)),
        seed=int(rng.integers(2**62)),
    )


def blurred(image: Tensor, radius: float) -> Tensor:
    """Return a wide blur of (batch, height, width): means over cells of `radius` pixels, interpolated.

    Both are linear and separable, so small matrix products do them: large kernels would cost most of the
    rendering time.
    """
    down, up = _pooling(image.shape[-2], radius, image.device)
    if image.shape[-1] == image.shape[-2]:
        return up @ (down @ image @ down.T) @ up.T
    across, back = _pooling(image.shape[-1], radius, image.device)
    return up @ (down @ image @ across.T) @ back.T


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


class Detector:
    """Develops line integrals of a batch under fixed exposures and healthy pictures.

    Args:
        healthy: Line integrals without findings, (batch, height, width), mm of water.
        exposures: One an image.
    """

    def __init__(self, healthy: Tensor, exposures: Sequence[Exposure]) -> None:
        self.exposures = exposures
        names = ("scatter", "latitude", "equalise", "knee", "gamma", "blur", "edge", "floor", "ceiling")
        table = torch.tensor([[getattr(e, name) for e in exposures] for name in names], device=healthy.device)
        self.parameters = dict(zip(names, table[:, :, None, None], strict=True))
        scale = healthy.shape[-1] / 128
        transmitted = torch.exp2(-HALVING * healthy)
        self.scattered = self.parameters["scatter"] * blurred(transmitted, 14 * scale).clamp(min=1e-4)
        log_signal = self._log_signal(healthy)
        self.noise = self._noise(log_signal)
        low, high = self._window_ends(healthy, log_signal)
        margin = self.parameters["latitude"] * (high - low)
        self.low, self.range = low - margin, (high - low + margin).clamp(min=0.4)
        window = self._window(log_signal)
        self.local_mean = self.parameters["equalise"] * (blurred(window, 22 * scale) - 0.5)
        toned = self._tone(window)
        self.toned = toned
        # Blur and edges of the healthy picture are added as one fixed field: a finding stays pointwise.
        detail = toned - blurred(toned, 2.2 * scale)
        self.fixed = (0.8 * self.parameters["edge"] - self.parameters["blur"]) * detail

    def _log_signal(self, integral: Tensor) -> Tensor:
        return -torch.log(torch.exp2(-HALVING * integral) + self.scattered)

    def _window_ends(self, healthy: Tensor, log_signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the percentiles that become black and white, over the body alone (every ninth pixel)."""
        ends = []
        for body, signal, exposure in zip(
            healthy[:, ::3, ::3], log_signal[:, ::3, ::3], self.exposures, strict=True
        ):
            ordered = signal[body > 15].sort().values
            last = max(len(ordered) - 1, 0)
            ends.append(ordered[[round(last * exposure.low / 100), round(last * exposure.high / 100)]])
        low, high = torch.stack(ends)[:, :, None, None].unbind(1)
        return low, high

    def _noise(self, log_signal: Tensor) -> Tensor:
        fields = []
        for exposure, signal in zip(self.exposures, log_signal, strict=True):
            rng = np.random.default_rng(exposure.seed)
            white = torch.from_numpy(rng.standard_normal(signal.shape, dtype=np.float32)).to(signal.device)
            # Relative noise grows as the square root of the attenuation (Poisson), from a signal of exp(-3).
            grain = torch.exp2((0.5 / math.log(2)) * (signal - 3.0)).clamp(max=2.5)
            fields.append(exposure.noise * white * grain)
        return torch.stack(fields)

    def _window(self, log_signal: Tensor) -> Tensor:
        return ((log_signal - self.low) / self.range).clamp(-0.2, 1.6)

    def _tone(self, window: Tensor) -> Tensor:
        """Apply local equalisation, S-curve and gamma: pointwise once the local mean is known."""
        level = (window - self.local_mean).clamp(min=1e-4)
        # A shoulder instead of a cut: dense structures run into white slowly, as film and vendors' curves do.
        over = (level - 0.75).clamp(min=0)
        shoulder = level - over + over * torch.rsqrt(1 + 16 * over * over)
        curved = shoulder + self.parameters["knee"] * (shoulder - 0.5) * shoulder * (1 - shoulder)
        return torch.exp2(self.parameters["gamma"] * torch.log2(curved.clamp(1e-4, 1.0)))

    def develop(self, integral: Tensor) -> Tensor:
        """Return grey values in [0, 1], (batch, height, width), of line integrals of the same patients."""
        toned = self._tone(self._window(self._log_signal(integral) + self.noise))
        toned = toned + self.fixed
        low, high = self.parameters["floor"], self.parameters["ceiling"]
        return (low + (high - low) * toned).clamp(0, 1)
