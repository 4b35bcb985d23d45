"""How one radiograph is exposed and processed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
        floor, ceiling: Grey of black and of white.
        seed: Of the noise.
        grain: Correlation of the noise of neighbouring pixels, 0 (white) to 0.5: see `Grain`.
        detail: Gain of what is about 12 to 40 cycles a picture fine, after averaging over the aperture of a
            pixel; None leaves both.
        greys: Grey values of air and of the quantiles of the healthy body; None leaves them: see `Tone`.
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
    grain: float = 0.0
    detail: float | None = None
    greys: tuple[float, ...] | None = None


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
