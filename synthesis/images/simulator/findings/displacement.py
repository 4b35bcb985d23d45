"""Organs that a finding moves: the anatomy changes, not only what is added to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.findings.change import Change

STILL = 0.3
"""mm of a displacement that count as none, so that it has an end."""

HEART_EXCESS = 0.06
"""mm of water in a mm of heart beyond that of the soft tissue that it lies in, as `AnatomyBuilder` has it."""


def displaced(anatomy: Anatomy, across: Tensor, down: Tensor, drawn: Change | None = None) -> Change:
    """Return a finding together with what changes because lungs, vessels, heart and trachea have moved.

    Lung that was displaced from a ray is filled, lung that came to it takes water away, so the rules of
    `Change` hold as for any other finding: masks and twins stay exact, and what else fills the same lung is
    not counted twice. Spine, ribs, skin and the other findings stay where they are.

    Args:
        anatomy: The healthy patient.
        across: By how much what is now seen at a pixel has moved, mm towards the patient's left.
        down: The same, mm downwards; both (height, width).
        drawn: What the finding adds; it moves with the organs.
    """
    across, down = F.softshrink(across, STILL), F.softshrink(down, STILL)
    drawn = drawn or Change()
    maps = [anatomy.lungs, anatomy.vessels, anatomy.heart]
    maps += [part for part in (drawn.fill, drawn.add) if part is not None]
    lungs, vessels, heart, *parts = _moved(anatomy, torch.stack(maps), across, down).unbind(0)
    gained = lungs - anatomy.lungs
    lost = gained.neg().clamp_(min=0).div_(anatomy.lungs.clamp(min=1.0))
    fill = parts.pop(0) if drawn.fill is not None else None
    gained.clamp_(min=0).mul_(anatomy.patient.lung_density - 1)
    if fill is not None:  # lung comes with what fills it
        gained.mul_(1 - fill.clamp(0, 1))
    add = gained.add_(vessels - anatomy.vessels)
    add.add_(heart - anatomy.heart, alpha=HEART_EXCESS * anatomy.patient.heart_gain)
    if bool(across.any()):
        add.add_(_windpipe(anatomy, across, down))
    moved = Change(fill=lost.clamp_(max=1), add=add)
    return Change(fill=fill, add=parts.pop(0) if drawn.add is not None else None, moved=moved)


def _moved(anatomy: Anatomy, maps: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Sample maps (map, height, width) where what is now seen at each pixel came from."""
    size = maps.shape[-1]
    line = (torch.arange(size, device=maps.device) + 0.5) / size * 2 - 1
    per_mm = 2 / (anatomy.mm * size)
    grid = torch.stack(
        [
            line[None, :] - across * (per_mm * anatomy.patient.scale[0]),
            line[:, None] - down * (per_mm * anatomy.patient.scale[1]),
        ],
        dim=-1,
    )
    return F.grid_sample(maps[None], grid[None], padding_mode="border", align_corners=False)[0]


def _windpipe(anatomy: Anatomy, across: Tensor, down: Tensor) -> Tensor:
    """Return the change, mm of water, where the trachea is drawn to a side."""
    builder, patient = anatomy.builder, anatomy.patient
    there = builder.one_map("flesh", patient, anatomy.x - across, anatomy.y - down)
    return there - builder.one_map("flesh", patient, anatomy.x, anatomy.y)
