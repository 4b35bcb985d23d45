"""Pulmonary vessels drawn anew for each patient: trees that branch from the hila into the lungs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.anatomy import pixels_of
from synthesis.images.simulator.atlas import Pose
from synthesis.images.simulator.patient import Patient

STEMS = (
    # from the hilum: mm lateral, mm down; angle from lateral towards down in degrees; radius and length in mm
    (0, -8, -82, 3.4, 34),
    (0, -8, -58, 4.6, 34),
    (2, -4, -28, 3.2, 30),
    (4, 2, 8, 3.0, 30),
    (2, 6, 38, 3.4, 30),
    (0, 8, 62, 6.2, 46),
    (-4, -2, -44, 4.0, 44),  # veins, which run to the left atrium, below
    (-10, 26, 14, 4.2, 40),
    (-10, 30, 40, 4.4, 42),
    (-8, 32, 54, 3.4, 40),
)
HILUM = np.array([0.42, 0.39])  # height as a share of apex to recess, right and left
MEDIAL = np.array([30.0, 36.0])  # mm from the midline, at least
LEAST = 0.27  # of a pixel: radius of the thinnest vessels drawn, down to THINNEST mm
THINNEST = 0.55
LEVELS = 6
THICKNESS = 0.85  # of what the stems' radii say: those of arteries and veins beside each other
TAPER = 0.12  # of a branch, from its beginning to its end, as side branches leave it
BENDS = np.radians(
    [(9, 24, 34), (28, 46, 63)]
)  # least and most, of both branches of a fork and of a side branch
STEP = 1.0  # pixels between two points of a course


def vessel_map(
    pose: Pose, spacing: float, patient: Patient, x: Tensor, y: Tensor, rng: np.random.Generator
) -> Tensor:
    """Return the path through vessels in mm, (height, width), not yet cut to the lung.

    Args:
        pose: The projection that it is drawn on: where hila and lungs are.
        spacing: mm a pixel of the atlas.
        patient: Whose picture it is.
        x: Atlas column of every pixel in mm, (height, width).
        y: Atlas row of every pixel in mm.
        rng: The stream of this patient's vessels.
    """
    size = x.shape[0]
    mm = patient.field / size
    points, radii = _trees(pose, spacing, rng, mm)
    pixels = pixels_of(points, x.cpu().numpy().ravel(), y.cpu().numpy().ravel(), patient, rounds=3)
    return _stamped(pixels, radii, size, mm).to(x.device)


def _trees(pose: Pose, spacing: float, rng: np.random.Generator, mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 2) in mm of the atlas frame and the radius at each, of both lungs."""
    top, bottom = pose.lung_rows.numpy().T
    hilum = top + HILUM * (bottom - top)
    rows = pose.lung_columns.shape[1]
    row = np.clip(np.rint(hilum / spacing + rows / 2 - 0.5).astype(int), 0, rows - 1)
    medial = np.maximum(pose.lung_columns.numpy()[(0, 1), row, 0], MEDIAL)
    side = np.repeat((0, 1), len(STEMS))
    tall = ((bottom - top) / 270)[side]
    stems = np.tile(STEMS, (2, 1)) + rng.normal(0, 1, (len(side), 5)) * (2, 3, 7, 0.3, 4)
    start = np.stack([stems[:, 0] + medial[side], stems[:, 1] * tall, np.zeros(len(side))], axis=1)
    angle, tilt = np.radians(stems[:, 2]), rng.normal(0, 0.35, len(side))
    heading = np.stack([np.cos(angle) * np.cos(tilt), np.sin(angle) * np.cos(tilt), np.sin(tilt)], axis=1)
    radius, length = np.maximum(THICKNESS * stems[:, 3], 1.2), np.maximum(stems[:, 4], 15) * tall
    courses, least = [], max(THINNEST, min(0.85, LEAST * mm))
    for _ in range(LEVELS):
        count = max(2, int(np.ceil(float(np.percentile(length, 70)) / (STEP * mm))) + 1)
        t = np.linspace(0, 1, count)[:, None, None]
        way = heading * length[:, None]
        bow = rng.normal(0, 0.13, way.shape) * length[:, None]
        course = start + t * (way + (4 - 4 * t) * bow)
        taper = radius * (1 - TAPER * t[..., 0])
        courses.append(np.stack([course[..., 0], course[..., 1], taper, side + 0 * taper]).reshape(4, -1))
        shares = rng.uniform((0.62, 0.75, 0.25), (0.9, 0.95, 0.5), (len(radius), 3))
        shares[:, 1] *= np.cbrt(1 - shares[:, 0] ** 3)  # Murray's law, less what side branches take
        shares *= 1 - TAPER
        thick = shares * radius[:, None] > least
        parent, kind = np.nonzero(thick)
        if not len(parent):
            break
        forks = np.where((kind < 2)[:, None], (start + way)[parent], course[count // 2][parent])
        heading = _bent(heading[parent], rng.uniform(BENDS[0][kind], BENDS[1][kind]), rng)
        radius, length = (
            (shares * radius[:, None])[thick],
            length[parent] * rng.uniform(0.5, 1.0, len(kind)),
        )
        # None grow back into the mediastinum, and none beyond the chest wall.
        inside = (forks[:, 0] < 135) & (forks[:, 0] + 12 * heading[:, 0] > 12)
        start, heading, side = forks[inside], heading[inside], side[parent][inside]
        radius, length = radius[inside], length[inside]
        if not len(radius):
            break
    x, y, radii, which = np.concatenate(courses, axis=1)
    at = which.astype(int)
    return np.stack([pose.midline + (2 * which - 1) * x, hilum[at] + y], axis=1), radii


def _bent(heading: np.ndarray, by: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn unit vectors (n, 3) by angles in a random plane, rather in the film's than across it."""
    away = rng.normal(0, 1, heading.shape) * (1.0, 1.0, 0.6)
    away -= (away * heading).sum(axis=1, keepdims=True) * heading
    away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-9
    turned = np.cos(by)[:, None] * heading + np.sin(by)[:, None] * away
    turned[:, 0] += 0.12  # outwards, all in all
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


def _stamped(pixels: np.ndarray, radii: np.ndarray, size: int, mm: float) -> Tensor:
    """Return round vessels along points, each with the cross-section that its radius gives."""
    sigma = np.maximum(0.62 * radii / mm, 0.5)
    peak = np.pi * radii**2 / (sigma * mm * np.sqrt(2 * np.pi))
    reaches = np.ceil(2.0 * sigma).astype(int)
    margin = int(reaches.max()) + 2
    inside = ((pixels > -1) & (pixels < size)).all(axis=1)
    wide = size + 2 * margin
    flat = torch.zeros(wide * wide)
    for reach in np.unique(reaches[inside]):
        of = inside & (reaches == reach)
        near = pixels[of]
        nearest, offsets = np.rint(near), np.arange(-reach, reach + 1)
        away = ((nearest - near)[:, :, None] + offsets).astype(np.float32)
        fall = np.exp(away * away * (-0.5 / sigma[of] ** 2).astype(np.float32)[:, None, None])
        values = fall[:, 0, :, None] * (fall[:, 1, None] * peak[of].astype(np.float32)[:, None, None])
        corner = ((nearest + margin) @ (wide, 1)).astype(int)
        at = corner[:, None, None] + (offsets[:, None] * wide + offsets)
        flat.scatter_reduce_(0, torch.from_numpy(at.ravel()), torch.from_numpy(values.ravel()), "amax")
    part = slice(margin, margin + size)
    return flat.view(wide, wide)[part, part].contiguous()
