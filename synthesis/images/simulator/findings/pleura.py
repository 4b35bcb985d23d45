"""The pleural space: fluid, air, thickening."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import above, hump, step
from synthesis.images.simulator.findings.change import Change
from synthesis.images.simulator.findings.opacities import texture


def pleural_effusion(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw fluid under a meniscus up the lateral wall; in some supine films a veil, denser at the base."""
    fill = torch.zeros_like(anatomy.x)
    for side in ("left", "right") if finding.laterality == "bilateral" else (finding.laterality,):
        # Heights are shares of apex to recess; the dome hides the lowest fifth.
        height = 0.27 + 0.5 * level + float(rng.uniform(-0.03, 0.05))
        slant = float(rng.uniform(0.07, 0.16)) + 0.05 * level
        surface = 1 - height - slant * (anatomy.u.clamp(0, 1.05) ** 2 - 0.35)
        soft = 0.06 + 0.05 * float(rng.random())
        fluid = 0.94 * step(anatomy.v - surface, soft)
        atlas_pose = anatomy.builder.atlas.poses[anatomy.atlas_pose]
        if atlas_pose.view == "AP" and rng.random() < 0.3:
            veil = (0.3 + 0.25 * level) * step(anatomy.v - 0.45 + 0.3 * level, 0.7)
            fluid = torch.maximum(0.85 * step(anatomy.v - surface - 0.08, 0.16), veil)
        fill = fill + fluid * anatomy.side(side)
    return Change(fill=fill)


def _collapse(anatomy: Anatomy, location: str | None) -> Tensor:
    """Return 0 at the hilum to 1 at the chest wall, so that a level curve is a visceral pleura."""
    u, v = anatomy.u.clamp(0, 1.2), anatomy.v
    up = ((0.5 - v) / 0.5).clamp(min=0)
    down = ((v - 0.5) / 0.42).clamp(min=0)
    weight_up, weight_side, weight_down = {
        "apical": (1.0, 0.9, 0.35), "lateral": (0.86, 1.0, 0.75), "basal": (0.55, 0.9, 1.0)
    }.get(location or "", (1.0, 0.95, 0.6))  # fmt: skip
    return ((weight_up * up) ** 3 + (weight_side * u) ** 3 + (weight_down * down) ** 3) ** (1 / 3)


def pneumothorax(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw air outside a thin pleural line: no vessels, darker than lung. The collapsed lung is denser."""
    side = anatomy.side(finding.laterality) * above(anatomy.lungs, 2)
    reach = _collapse(anatomy, finding.location)
    # A gentle wave: a pleural line is smooth but never a geometric curve.
    edge = 0.86 - 0.4 * level + float(rng.uniform(-0.03, 0.03)) + 0.012 * texture(anatomy, rng, "coarse")
    outside = step(reach - edge, 0.05) * side
    tissue = anatomy.patient.lung_density / (1 - anatomy.patient.lung_density)
    line = (3.2 + 1.5 * level) * hump(reach - edge, max(0.014, 0.9 * anatomy.mm / 110)) * side
    denser = (0.05 + 0.22 * level) * (1 - outside) * side
    return Change(fill=-0.98 * tissue * outside + denser, add=line - anatomy.vessels * outside)


def pleural_thickening(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a dense, uneven peel along the lateral wall or over the apex, at times calcified."""
    side = anatomy.side(finding.laterality) * above(anatomy.lungs, 0.5)
    wave = texture(anatomy, rng, "coarse")
    depth = 0.07 + 0.09 * level
    if finding.location == "apex":
        peel = step(depth * 1.05 - anatomy.v + 0.018 * wave, 0.04) * step(0.3 - anatomy.v, 0.1)
    else:
        along = hump(anatomy.v - float(rng.uniform(0.4, 0.6)), 0.16 + 0.1 * level)
        peel = step(anatomy.u - (1 - depth * (1.2 + 0.25 * wave)), 0.05) * along
    calcium = 6.0 * peel * (wave > 0.7) * (rng.random() < 0.4)
    return Change(fill=(0.6 + 0.3 * level) * peel * side, add=((9 + 9 * level) * peel + calcium) * side)
