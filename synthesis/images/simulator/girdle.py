"""Shoulder girdles with the arms down, drawn: the CT was taken with raised arms, so its own are of no use."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
from torch import Tensor

GIRDLES = 8
POSED = 4  # girdles of each further posture: arms out, arms up
CANVAS = (440.0, 480.0)  # mm, height and width of a drawn map


def _tube(
    x: np.ndarray, y: np.ndarray, points: list[tuple[float, float]], radius: float, wall: float
) -> np.ndarray:
    """Return the bone path in mm through a hollow tube along a smooth curve: solid minus marrow."""
    knots = np.array(points, dtype=float)
    t = np.linspace(0, len(knots) - 1, 28)
    curve = np.stack([np.interp(t, np.arange(len(knots)), knots[:, k]) for k in (0, 1)], axis=1)
    kernel = np.ones(5) / 5
    for k in (0, 1):  # round the corners
        curve[2:-2, k] = np.convolve(curve[:, k], kernel, mode="valid")
    nearest = np.full(x.shape, np.inf)
    for a, b in itertools.pairwise(curve):
        step = b - a
        along = np.clip(((x - a[0]) * step[0] + (y - a[1]) * step[1]) / max(step @ step, 1e-9), 0, 1)
        nearest = np.minimum(nearest, (x - a[0] - along * step[0]) ** 2 + (y - a[1] - along * step[1]) ** 2)

    def chord(r: float) -> np.ndarray:
        return 2 * np.sqrt(np.clip(r * r - nearest, 0, None))

    return chord(radius) - 0.75 * chord(radius - wall)


ARMS: dict[str, tuple[tuple[float, float], ...]] = {
    "out": ((52, 62), (170, 190)),
    "up": ((46, -60), (120, -170)),
}
"""Posture of the arms → two points of the upper arm from its head, mm laterally and down."""


def _draw(rng: np.random.Generator, spacing: float, arm: str = "down", aside: float = 0.0) -> np.ndarray:
    """Draw clavicles, scapulae and humeri of one girdle; both sides alike but not equal.

    Args:
        rng: Of the population of girdles.
        spacing: mm a pixel.
        arm: Posture: "down", or of `ARMS`.
        aside: How far the scapulae are drawn off the lung, in mm.
    """
    rows, columns = (round(n / spacing) for n in CANVAS)
    y, x = np.mgrid[:rows, :columns]
    y = (y - rows / 2 + 0.5) * spacing
    x = (x - columns / 2 + 0.5) * spacing
    bone = np.zeros_like(x, dtype=float)
    lift, spread, steep = rng.normal(0, 6), rng.normal(0, 7), rng.normal(0, 7)
    for sign in (-1.0, 1.0):
        j = rng.normal(0, 2.5, 12)
        s = sign * x
        tip = (166 + spread + j[0], -132 + lift - steep + j[1])
        clavicle = [
            (20, -116 + j[2]),
            (52 + j[3], -124 + lift / 2 + j[4]),
            (105 + j[5], -142 + lift + j[6]),
            tip,
        ]
        bone += 0.85 * _tube(s, y, clavicle, 6.2, 2.2)
        head = (186 + spread + j[7], -106 + lift)
        bone += 0.32 * 2 * np.sqrt(np.clip(24**2 - (s - head[0]) ** 2 - (y - head[1]) ** 2, 0, None))
        way = [(head[0] + 14, -10.0), (head[0] + 22, 180.0)]
        if arm != "down":
            way = [(head[0] + across, head[1] + down) for across, down in ARMS[arm]]
        bone += 0.8 * _tube(s, y, [head, *way], 12.0, 4.0)
        inner, lower = 112 + spread + 12 * rng.random() + j[8] + aside, 8 + j[9]
        blade = [(inner + 14, -118 + lift), (inner, -70), (inner + 22, lower)]
        side = [(inner + 22, lower), (150 + spread, -62), (166 + spread, -98 + lift)]
        spine = [(inner + 8, -104 + lift), (150 + spread, -122 + lift), (tip[0] + 8, tip[1] + 4)]
        for border, weight in ((blade, 0.35), (side, 0.6), (spine, 0.5)):
            bone += weight * _tube(s, y, border, 4.5, 2.5)
        edge_in = inner + 22 * np.clip((y + 70) / (lower + 70), 0, 1)
        edge_out = 166 + spread - (144 - inner + spread) * np.clip((y + 98) / (lower + 98), 0, 1)
        bone += 2.2 * ((s > edge_in) & (s < edge_out) & (y > -112 + lift) & (y < lower))
    return bone


@functools.lru_cache(maxsize=4)
def girdle_maps(spacing: float, seed: int = 11) -> Tensor:
    """Return the drawn girdles, (girdle, row, column) in mm of bone, centred as the atlas is.

    Args:
        spacing: mm a pixel.
        seed: Of the population of girdles; it belongs to the simulator, not to a run.
    """
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([_draw(rng, spacing) for _ in range(GIRDLES)]).astype(np.float32))


@functools.lru_cache(maxsize=4)
def posed_girdle_maps(spacing: float, seed: int = 12) -> Tensor:
    """Return `POSED` girdles with arms out, then as many with arms up, scapulae half on or off the lung."""
    rng = np.random.default_rng(seed)
    drawn = [
        _draw(rng, spacing, arm, aside * (1.0 if k % 2 else 0.35))
        for arm, aside in (("out", 36.0), ("up", 44.0))
        for k in range(POSED)
    ]
    return torch.from_numpy(np.stack(drawn).astype(np.float32))
