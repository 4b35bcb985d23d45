"""Volume loss: what atelectasis does to the chest around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import hump, step
from synthesis.images.simulator.findings.change import Change, both_filled
from synthesis.images.simulator.findings.displacement import displaced
from synthesis.limits import at_least

PLATES = 1.5
"""Gain of what the painter adds (bands), which nothing strengthens where the moved dome is visible enough."""


class VolumeLoss:
    """Consequence of atelectasis: the chest closes in on the lung that has lost its air.

    The direct and indirect signs of collapse (Woodring and Reed, J Thorac Imaging 1996;11:109-144): the dome
    rises on that side, hilum and fissure are drawn down (lower lobe) or up (upper lobe), heart and
    trachea are drawn over, vessels crowd beside the opacity, and the rest of the lung overinflates and so is
    darker. A plate does a little of it, a collapsed lobe much; on both sides, the domes rise and nothing is
    drawn over.

    Args:
        amount: Multiplies all distances; 0 draws the opacity alone.

    Raises:
        ValueError: The amount is negative.
    """

    version: int = 1
    concepts = frozenset({"atelectasis"})
    beside = frozenset[str]()

    def __init__(self, amount: float = 1.0) -> None:
        at_least(self, 0, amount=amount)
        self.amount = amount

    def describe(self) -> dict[str, Any]:
        """See `Consequence.describe`."""
        return {"amount": self.amount}

    def redraw(
        self,
        drawn: Change,
        finding: Finding,
        beside: Sequence[Finding],
        anatomy: Anatomy,
        level: float,
        rng: np.random.Generator,
    ) -> Change:
        """See `Consequence.redraw`."""
        sides = ("left", "right") if finding.laterality == "bilateral" else (finding.laterality,)
        across, down = torch.zeros_like(anatomy.x), torch.zeros_like(anatomy.x)
        crowded = torch.zeros_like(anatomy.x)
        for side in sides:
            over, below, dense = self._closing(anatomy, side, finding.location, level, rng)
            across.add_(over, alpha=float(len(sides) == 1))
            down.add_(below)
            crowded.add_(dense)
        if finding.location == "upper lobe" and drawn.fill is not None:
            fill = torch.where(anatomy.left > 0, _left_veil(anatomy, level), drawn.fill)
            drawn = replace(drawn, fill=fill * anatomy.side(finding.laterality))
        if drawn.add is not None:  # plates stay visible among crowded vessels
            drawn = replace(drawn, add=PLATES * drawn.add)
        change = displaced(anatomy, across, down, drawn)
        assert change.moved is not None
        darker = self._overinflation(anatomy, finding.laterality, level, change.fill)
        moved = Change(both_filled(both_filled(change.moved.fill, crowded), darker), change.moved.add)
        return Change(change.fill, change.add, moved)

    def _closing(
        self, anatomy: Anatomy, side: str | None, location: str | None, level: float, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return how one side moves, mm towards the patient's left and down, and how dense it crowds."""
        sign = 1.0 if side == "left" else -1.0
        offset = (anatomy.x - anatomy.builder.atlas.poses[anatomy.atlas_pose].midline) * sign
        u, v = anatomy.u.clamp(0, 1.1), anatomy.v
        rise, shift, pull = rng.uniform((8, 1, 2), (15, 5, 5)) + level * rng.uniform((7, 7, 6), (17, 15, 14))
        upper, middle = location == "upper lobe", location == "middle lobe"
        rise *= self.amount * (0.6 if upper else 0.5 if middle else 1.0)
        shift, pull = self.amount * shift * (0.4 if middle else 1.0), self.amount * pull * (not middle)
        beside = step(offset - 8, 24)
        # From nothing at the apex to all of it at the dome, whose lateral end stays nearer to the wall.
        lower = ((v - 0.22) / 0.5).clamp(0, 1)
        lower = lower * lower * (3 - 2 * lower) * (1 - 0.4 * step(u - 0.85, 0.2))
        hilum = hump(u - 0.12, 0.25) * hump(v - 0.42, 0.14)
        down = beside * (hilum * (-pull if upper else pull) - rise * lower)
        half = step(25 - anatomy.y, 70) if upper else step(anatomy.y + 55, 70)
        across = sign * shift * hump(offset - 12, 55) * half
        crowded = 0.005 * rise * hump(v - 0.6, 0.16) * beside
        return across, down, crowded

    def _overinflation(
        self, anatomy: Anatomy, laterality: str | None, level: float, fill: Tensor | None
    ) -> Tensor:
        """Return the tissue that the rest of a lung has less of, as a negative filling."""
        tissue = anatomy.patient.lung_density / (1 - anatomy.patient.lung_density)
        elsewhere = 1.0 if fill is None else (1 - 2.5 * fill).clamp(0, 1)
        lost = min(1.0, self.amount) * (0.05 + 0.2 * level) * tissue
        return -lost * elsewhere * anatomy.side(laterality) * step(0.62 - anatomy.v, 0.3)


def _left_veil(anatomy: Anatomy, level: float) -> Tensor:
    """Return the filling by a collapsed left upper lobe: it lies in front of the lung, without a border."""
    veil = hump(anatomy.u - 0.2, 0.38) * step(0.55 - anatomy.v, 0.45) * step(anatomy.v + 0.02, 0.12)
    return (0.3 + 0.35 * level) * veil
