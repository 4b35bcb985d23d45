"""What reports mention beside disease: low volumes, an unfolded aorta, an ageing spine, old granulomas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import hump, sphere, step
from synthesis.images.simulator.findings.change import Change, zone
from synthesis.images.simulator.findings.displacement import displaced
from synthesis.images.simulator.findings.focal import balls, place


def low_lung_volumes(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a shallow breath: high domes, a heart that lies wide on them, vessels crowded at the bases."""
    rise = float(rng.uniform(18, 40))
    offset = _offset(anatomy)
    lower = ((anatomy.v - 0.15) / 0.6).clamp(0, 1)
    lower = lower * lower * (3 - 2 * lower)
    unequal = 1 + float(rng.uniform(-0.2, 0.2)) * (2 * step(offset, 30) - 1)
    # The heart is lifted and widened as it comes to lie on the diaphragm.
    across = 0.0045 * rise * offset * hump(offset, 55) * step(anatomy.y + 10, 50)
    crowded = 0.0035 * rise * step(anatomy.v - 0.42, 0.4)
    return displaced(anatomy, across, -rise * lower * unequal, Change(fill=crowded))


def tortuous_aorta(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a wide aortic knob, and a descending aorta that bulges to the left of the spine."""
    offset, y = _offset(anatomy), anatomy.y
    radius = float(rng.uniform(13, 16)) + 3 * level
    bulge = 12 + 20 * level + float(rng.uniform(-2, 4))
    knob_at = float(rng.uniform(-88, -76))
    course = 18 + bulge * hump(y - float(rng.uniform(-45, -15)), 46)
    extent = step(y - knob_at, 14) * step(75 - y, 30)
    descending = sphere((offset - course).square(), radius) * extent
    knob = sphere((offset - 26 - 0.35 * bulge).square() + (y - knob_at).square(), radius + 4 + 4 * level)
    ascending = sphere((offset + 20 + 0.5 * bulge).square(), 14) * hump(y + 42, 22) * min(1.0, 0.4 + level)
    path = torch.stack([1.3 * descending, 1.5 * knob, ascending]).amax(dim=0)
    fill = torch.minimum(path, anatomy.lungs) / anatomy.lungs.clamp(min=1.0)
    return Change(fill=fill, add=0.06 * path)


def degenerative_spine(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw spurs that bridge narrowed discs on one side or both, and dense end plates."""
    offset = _offset(anatomy)
    add = torch.zeros_like(offset)
    spacing, first = float(rng.uniform(21, 25)), float(rng.uniform(-70, -50))
    favoured = 1.0 if rng.random() < 0.2 else -1.0  # the aorta keeps the left side of the spine smooth
    for k in range(8):
        y = anatomy.y - (first + k * spacing)
        draws = rng.random(4)
        if draws[0] > 0.45 + 0.5 * level:
            continue
        plates = hump(y, 2.6) * step(19 - offset.abs(), 5)
        spur, reach = torch.zeros_like(y), 17 + 4 * draws[1]
        for side in (favoured, -favoured) if draws[2] < 0.3 + 0.3 * level else (favoured,):
            spur = spur + hump(offset * side - reach, 3.2 + 1.5 * draws[3]) * hump(y, 5.5)
        add = add + (7 + 8 * level) * plates + (16 + 22 * level) * spur
    return Change(add=add)


def granuloma(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a small round focus as dense as bone."""
    where = zone(anatomy, finding, rng)
    radius = np.array([rng.uniform(5.2, 6.8)])
    centre = place(anatomy, where, rng)
    return Change(add=balls(anatomy, [centre], radius, rng.random((1, 4)), 0.1).mul_(rng.uniform(5.0, 8.0)))


def _offset(anatomy: Anatomy) -> Tensor:
    """Return how far left of the midline every pixel lies, in mm."""
    return anatomy.x - anatomy.builder.atlas.poses[anatomy.atlas_pose].midline
