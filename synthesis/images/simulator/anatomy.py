"""The healthy chest of one patient as maps: what findings are drawn into."""

from __future__ import annotations

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
        left: True on the patient's left of the midline.
        lobes: (5, height, width) lung path of each lobe, `MAP_NAMES` order.
        lungs: Lung path of all lobes.
        vessels, heart, spine, ribs, girdle: Excess paths in mm of water (heart: path).
        tissue: Path through the body as if its lungs were full of water.
        mm: mm per pixel.
    """

    patient: Patient
    atlas_pose: int
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    left: Tensor
    lobes: Tensor
    lungs: Tensor
    vessels: Tensor
    heart: Tensor
    spine: Tensor
    ribs: Tensor
    girdle: Tensor
    trachea: Tensor
    tissue: Tensor
    base: Tensor
    mm: float
    builder: AnatomyBuilder = field(repr=False)
    _inverse: tuple[np.ndarray, np.ndarray] | None = field(default=None, init=False, repr=False)

    @property
    def air(self) -> Tensor:
        """Millimetres of water that filling the lung would add along each ray."""
        return self.lungs * (1 - self.patient.lung_density)

    def side(self, laterality: str | None) -> Tensor:
        """Return True where a finding of a side ("left", "right", "bilateral" or None) may lie."""
        if laterality == "left":
            return self.left
        if laterality == "right":
            return ~self.left
        return torch.ones_like(self.left)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 2) of (x, y) in mm of the atlas frame to (row, column) in pixels.

        Inverts the sampled geometry by fixed-point iteration; beyond the picture it is continued linearly.
        """
        if self._inverse is None:
            self._inverse = (
                torch.stack([self.x, self.y]).cpu().numpy(),
                np.array(self.patient.scale) / self.mm,
            )
        (x, y), per_mm = self._inverse
        last = x.shape[0] - 1
        place = points * per_mm + last / 2  # (column, row)
        for _ in range(4):
            column, row = np.clip(np.rint(place), 0, last).astype(int).T
            here = np.stack([x[row, column], y[row, column]], axis=1)
            place = np.stack([column, row], axis=1) + (points - here) * per_mm
        return place[:, ::-1]
