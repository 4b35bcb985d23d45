"""Pleural fluid in the forms that it takes by amount, posture and company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from synthesis.cases import Finding
from synthesis.cases.case import SIDES
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import above, hump, step
from synthesis.images.simulator.findings.change import Change, both_added, both_filled
from synthesis.images.simulator.findings.displacement import displaced
from synthesis.limits import within


class PleuralFluid:
    """Consequence of gravity: draws pleural effusion anew.

    Upright, a little fluid blunts the costophrenic angle, more of it hides angle and dome under a meniscus, a
    lot pushes the mediastinum away; some small effusions lie as a lamella along the wall, or below the lung,
    which they lift with a dome whose top lies lateral. Lying, fluid spreads behind the lung: a veil, densest
    at the base, through which vessels are seen (Woodring 1984, doi:10.2214/ajr.142.1.59). With air above it,
    fluid has a level.

    Args:
        lying: Share of AP films on which the patient lies.
        lamellar: Share of small and moderate upright effusions that lie along the wall.
        subpulmonic: Share of them that lie below the lung.

    Raises:
        ValueError: A share is not within [0, 1], or those of the forms exceed 1 together.
    """

    version: int = 1
    concepts = frozenset({"pleural_effusion"})
    beside = frozenset({"pneumothorax"})

    def __init__(self, lying: float = 0.75, lamellar: float = 0.15, subpulmonic: float = 0.15) -> None:
        within(self, 0, 1, lying=lying, lamellar=lamellar, subpulmonic=subpulmonic)
        if lamellar + subpulmonic > 1:
            raise ValueError(
                f"{type(self).__name__}: lamellar={lamellar} and subpulmonic={subpulmonic}: lower one of "
                "them, together they exceed 1"
            )
        self.lying, self.lamellar, self.subpulmonic = lying, lamellar, subpulmonic

    def describe(self) -> dict[str, Any]:
        """See `Consequence.describe`."""
        return {"lying": self.lying, "lamellar": self.lamellar, "subpulmonic": self.subpulmonic}

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
        portable = anatomy.builder.atlas.poses[anatomy.atlas_pose].view == "AP"
        lies = rng.random() < self.lying and portable
        air = frozenset[str]().union(*(SIDES[other.laterality] for other in beside))
        change = Change()
        for side in ("left", "right") if finding.laterality == "bilateral" else (str(finding.laterality),):
            # As many numbers are drawn whatever the form, so that the other side does not depend on it.
            draws, form = rng.random(6), rng.random()
            amount = float(np.clip(level + 0.3 * (draws[0] - 0.5), 0, 1.1))
            if lies:
                one = _veil(anatomy, side, amount, draws)
            elif side in air:
                one = _level(anatomy, side, amount)
            elif level < 0.75 and form < self.subpulmonic:
                one = _subpulmonic(anatomy, side, amount, draws)
            elif level < 0.75 and form < self.subpulmonic + self.lamellar:
                one = _lamella(anatomy, side, amount, draws)
            else:
                one = _meniscus(anatomy, side, amount, draws)
            change = _together(change, one)
        if level > 0.75 and len(SIDES[finding.laterality]) == 1:
            change = _pushed(anatomy, finding.laterality, float(rng.uniform(6, 17)), change)
        return change


def _together(first: Change, second: Change) -> Change:
    moved = [change.moved or Change() for change in (first, second)]
    return Change(
        both_filled(first.fill, second.fill),
        both_added(first.add, second.add),
        Change(
            both_filled(moved[0].fill, moved[1].fill),
            both_added(moved[0].add, moved[1].add),
        ),
    )


def _meniscus(anatomy: Anatomy, side: str, amount: float, draws: np.ndarray) -> Change:
    """Draw fluid that stands highest along the wall: at the angle alone, over the dome, up to the apex."""
    u = anatomy.u.clamp(0, 1.05)
    # Shares of the height from apex to recess; the dome hides the lowest fifth.
    medial = 0.08 + 0.24 * min(1, 2 * amount) + 0.5 * max(0.0, amount - 0.5)
    climb = 0.2 + 0.07 * draws[1]
    surface = 1 - medial - climb * u**3 - 0.05 * amount * hump(u, 0.12)
    fluid = 0.95 * step(anatomy.v - surface, 0.05 + 0.05 * draws[2])
    # In front of and behind the lung it stands as high as beside it, but thinly.
    thin = 0.22 * step(anatomy.v - surface + 0.1 + 0.06 * amount, 0.16) * step(u - 0.25, 0.6)
    return Change(fill=torch.maximum(fluid, thin) * anatomy.side(side))


def _veil(anatomy: Anatomy, side: str, amount: float, draws: np.ndarray) -> Change:
    """Draw fluid behind the lung of a patient who lies: haze over all of it, most at the base."""
    u, v = anatomy.u.clamp(0, 1.05), anatomy.v
    thickness = (0.2 + 0.34 * amount) * (0.85 + 0.3 * draws[1])
    haze = thickness * (0.4 + 0.6 * step(v - 0.35, 0.75))
    base = (0.5 + 0.35 * amount) * step(v - 0.8 + 0.16 * amount + 0.08 * (u - 0.6), 0.22)
    cap = (0.15 + 0.4 * amount) * step(0.1 + 0.05 * draws[2] - v, 0.09) * (amount > 0.45)
    wall = 0.5 * amount * step(u - 0.95 + 0.05 * amount, 0.06)
    fill = torch.stack([haze, base, cap, wall]).amax(dim=0)
    return Change(fill=fill * anatomy.side(side))


def _level(anatomy: Anatomy, side: str, amount: float) -> Change:
    """Draw fluid under air: a horizontal surface from the wall to the mediastinum."""
    height = 0.16 + 0.42 * amount
    inside = anatomy.side(side) * above(anatomy.lungs, 4) * hump(anatomy.u - 0.5, 0.3)
    rows = torch.arange(anatomy.x.shape[0], device=anatomy.x.device, dtype=anatomy.x.dtype)[:, None]
    near = inside * hump(anatomy.v - (1 - height), 0.02)
    # The row, in pixels, in which the middle of the lung lies at this height.
    surface = (near * rows).sum() / near.sum().clamp(min=1e-6)
    below = step((rows - surface) * anatomy.mm, 3.5)
    return Change(fill=0.96 * below * anatomy.side(side))


def _lamella(anatomy: Anatomy, side: str, amount: float, draws: np.ndarray) -> Change:
    """Draw a thin band between lung and wall, up from an angle that is hardly blunted."""
    top = 0.62 - 0.25 * amount - 0.12 * draws[1]
    width = (0.07 + 0.09 * amount) * (0.6 + 0.8 * ((anatomy.v - top) / (1 - top)).clamp(0, 1))
    band = 0.9 * step(anatomy.u - 1 + width, 0.035) * step(anatomy.v - top, 0.2)
    angle = 0.9 * step(anatomy.v - 1.02 + 0.2 * anatomy.u.clamp(0, 1.05) ** 3, 0.05)
    return Change(fill=torch.maximum(band, angle) * anatomy.side(side))


def _subpulmonic(anatomy: Anatomy, side: str, amount: float, draws: np.ndarray) -> Change:
    """Lift the lung by fluid below it: a high false dome, its top lateral, falling steeply to the wall."""
    sign = 1.0 if side == "left" else -1.0
    offset = (anatomy.x - anatomy.builder.atlas.poses[anatomy.atlas_pose].midline) * sign
    u = anatomy.u.clamp(0, 1.1)
    lower = ((anatomy.v - 0.3) / 0.45).clamp(0, 1)
    lower = lower * lower * (3 - 2 * lower)
    top = 0.66 + 0.1 * draws[1]
    profile = (0.75 + 0.25 * hump(u - top, 0.2)) * step(1.0 - u, 0.16)
    lift = (20 + 26 * amount) * (0.85 + 0.3 * draws[2])
    return displaced(anatomy, torch.zeros_like(u), -lift * lower * profile * step(offset - 8, 20))


def _pushed(anatomy: Anatomy, side: str | None, distance: float, fluid: Change) -> Change:
    """Push heart and trachea away from a large effusion, which itself moves no organ."""
    sign = 1.0 if side == "left" else -1.0
    offset = anatomy.x - anatomy.builder.atlas.poses[anatomy.atlas_pose].midline
    return displaced(anatomy, -sign * distance * hump(offset, 60), torch.zeros_like(offset), fluid)
