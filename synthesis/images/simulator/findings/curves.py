"""Thin curves (tubes, wires, leads) stamped along splines given in the atlas frame."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.anatomy import Anatomy


def spline(points: np.ndarray, count: int = 130) -> np.ndarray:
    """Return (count, 2) points on the Catmull-Rom spline through control points (n, 2)."""
    return _blend(len(points), count) @ points


@functools.cache
def _blend(knots: int, count: int) -> np.ndarray:
    """Return how much of each control point every point of a spline is, (count, knots)."""
    points = np.eye(knots)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, knots - 1, count)
    k = np.minimum(t.astype(int), knots - 2)
    s = (t - k)[:, None]
    a, b, c, d = (padded[k + i] for i in range(4))
    return 0.5 * (2 * b + (c - a) * s + (2 * a - 5 * b + 4 * c - d) * s**2 + (3 * b - a - 3 * c + d) * s**3)


def stamp(anatomy: Anatomy, curve: np.ndarray, width: float) -> Tensor:
    """Return a map (height, width) that is 1 on a curve and falls off as a Gaussian.

    Args:
        anatomy: Gives geometry and size.
        curve: (n, 2) points (x, y) in mm.
        width: Full width at half maximum in mm; never narrower than 1.3 pixels, or it would vanish.
    """
    sigma = max(1.3, width / anatomy.mm) / 2.355
    size = anatomy.x.shape[0]
    reach = math.ceil(2.2 * sigma)
    margin = reach + 3  # curves that leave the picture are stamped beyond its border, then cut
    pixels = anatomy.to_pixels(curve)
    pixels = pixels[((pixels > -3) & (pixels < size + 2)).all(axis=1)]
    nearest, offsets = np.rint(pixels), np.arange(-reach, reach + 1)
    away = (nearest - pixels)[:, :, None] + offsets  # (point, axis, offset)
    fall = np.exp((away * away * (-0.5 / sigma**2)).astype(np.float32))
    values = fall[:, 0, :, None] * fall[:, 1, None]
    wide = size + 2 * margin
    corner = (nearest + margin) @ (wide, 1)
    at = corner.astype(int)[:, None, None] + (offsets[:, None] * wide + offsets)
    flat = torch.zeros(wide * wide)
    flat.scatter_reduce_(0, torch.from_numpy(at.ravel()), torch.from_numpy(values.ravel()), "amax")
    inside = slice(margin, margin + size)
    return flat.view(wide, wide)[inside, inside].contiguous().to(anatomy.x.device)
