"""The healthy chest of one patient as maps: what findings are drawn into."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.patient import Patient

if TYPE_CHECKING:
    from synthesis.images.simulator.anatomy_builder import AnatomyBuilder


@dataclass
class Anatomy:
    """The healthy chest of one patient at the output size. All maps are (height, width), lengths in mm.

    Attributes:
        patient: The parameters it was made from.
        x: Atlas column of every pixel (patient's left positive), y: row (down positive), both in mm.
        u: 0 at the medial to 1 at the lateral edge of the lung on the pixel's own side.
        v: 0 at the apex to 1 at the costophrenic recess.
        left: 1 on the patient's left of the midline, else 0.
        kept: Share of the atlas's lung path that heart and mediastinum have left.
        lungs: Lung path of all lobes.
        vessels, heart, spine, ribs, girdle: Excess paths in mm of water (heart: path).
        base: Line integral of the whole chest, mm of water.
        mm: mm per pixel.
    """

    patient: Patient
    atlas_pose: int
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    left: Tensor
    kept: Tensor
    lungs: Tensor
    vessels: Tensor
    heart: Tensor
    spine: Tensor
    ribs: Tensor
    girdle: Tensor
    base: Tensor
    mm: float
    builder: AnatomyBuilder = field(repr=False)

    @functools.cached_property
    def air(self) -> Tensor:
        """Millimetres of water that filling the lung would add along each ray."""
        return self.lungs * (1 - self.patient.lung_density)

    def side(self, laterality: str | None) -> Tensor:
        """Return 1 where a finding of a side ("left", "right", "bilateral" or None) may lie, else 0."""
        if laterality == "left":
            return self.left
        if laterality == "right":
            return 1 - self.left
        return torch.ones_like(self.left)

    def lobes(self, which: Sequence[int]) -> Tensor:
        """Return the lung path of some lobes together, numbered as in `MAP_NAMES`."""
        return self.builder.some_lobes(self.patient, which, self.x, self.y).mul_(self.kept)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 2) of (x, y) in mm of the atlas frame to (row, column) in pixels.

        Inverts the sampled geometry by fixed-point iteration; beyond the picture it is continued linearly.
        """
        return pixels_of(points, *self._flat, self.patient)

    def distance(self, centre: tuple[float, float]) -> Tensor:
        """Return how far every pixel is from a point (x, y), in mm of the atlas frame."""
        across, down = self.x - centre[0], self.y - centre[1]
        return across.square_().add_(down.square_()).sqrt_()

    @functools.cached_property
    def _flat(self) -> tuple[np.ndarray, np.ndarray]:
        return self.x.cpu().numpy().ravel(), self.y.cpu().numpy().ravel()


def pixels_of(
    points: np.ndarray, x: np.ndarray, y: np.ndarray, patient: Patient, rounds: int = 4
) -> np.ndarray:
    """Map points (n, 2) of (x, y) in mm of the atlas frame to (row, column), see `Anatomy.to_pixels`.

    Args:
        points: In mm of the atlas frame.
        x: Atlas column of every pixel, flat.
        y: Atlas row of every pixel, flat.
        patient: Whose picture it is.
        rounds: Of the iteration.
    """
    size = math.isqrt(len(x))
    per_mm = (np.array(patient.scale) / (patient.field / size))[:, None]
    points = points.T
    place = points * per_mm + (size - 1) / 2  # (column, row)
    for _ in range(rounds):
        near = np.minimum(np.maximum(np.rint(place), 0), size - 1)
        at = (near[1] * size + near[0]).astype(int)
        place = near + (points - np.stack([x[at], y[at]])) * per_mm
    return place[::-1].T
