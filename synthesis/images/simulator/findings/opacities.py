"""Diffuse and patchy opacities of the lung: edema, consolidation, pneumonia, ground glass and their kin.

Appearances after the Fleischner Society glossary (Hansell et al. 2008, doi:10.1148/radiol.2462070712).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import above, hump, step
from synthesis.images.simulator.findings.change import Change, zone
from synthesis.images.simulator.textures import texture_bank


def texture(anatomy: Anatomy, rng: np.random.Generator, kind: str) -> Tensor:
    """Cut a texture at the anatomy's size."""
    height, width = anatomy.x.shape
    bank = texture_bank(anatomy.builder.texture_seed)
    return bank.cut(rng, kind, (height, width), anatomy.mm).to(anatomy.x.device)


def edema(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw haze from both hila out (bat wings), thick blurred vessels, septal lines at the bases."""
    reach = (0.42 if finding.location == "perihilar" else 0.75) + 0.25 * level
    spread = hump(anatomy.u - 0.05, reach) * hump(anatomy.v - 0.5, 0.42)
    gravity = 0.75 + 0.5 * anatomy.v.clamp(0, 1)
    haze = 0.16 + 0.42 * level
    fill = haze * spread * gravity * (1 + 0.22 * texture(anatomy, rng, "patchy"))
    fill = fill + (0.03 + 0.02 * level) * spread * texture(anatomy, rng, "fine")
    septal = step(anatomy.u - 0.72, 0.2) * step(anatomy.v - 0.5, 0.2) * (1 + level)
    lines = 1.6 * septal * texture(anatomy, rng, "reticular").clamp(min=0)
    thick = (0.9 + 0.8 * level) * anatomy.vessels * hump(anatomy.v - 0.4, 0.4)
    return Change(fill=fill.clamp(min=0), add=(lines + thick) * above(anatomy.lungs, 6))


def consolidation(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw homogeneous filling of much of a lobe that stops at fissures, with air bronchograms."""
    where = zone(anatomy, finding, rng)
    cover = step(texture(anatomy, rng, "coarse") + (-0.5 + 1.9 * level), 1.6)
    fill = (0.5 + 0.35 * level) * where * cover * (1 + 0.08 * texture(anatomy, rng, "fine"))
    bronchograms = -1.3 * anatomy.vessels * (where * cover).clamp(0, 1)
    return Change(fill=fill.clamp(min=0), add=bronchograms)


def pneumonia(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw several ill-defined patches of airspace filling with a hazy halo, in a lobe."""
    where = zone(anatomy, finding, rng)
    field = 0.7 * texture(anatomy, rng, "patchy") + 0.7 * texture(anatomy, rng, "coarse")
    patches = step(field + (-0.25 + 0.9 * level), 1.9)
    fill = (
        where
        * ((0.42 + 0.28 * level) * patches + 0.12 + 0.1 * level)
        * (1 + 0.07 * texture(anatomy, rng, "fine"))
    )
    return Change(fill=fill.clamp(min=0), add=-0.6 * anatomy.vessels * where * patches)


def lung_opacity(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw one rounded, ill-defined hazy area in a zone: opacity that fits no more specific term."""
    where = zone(anatomy, finding, rng)
    centre = float(rng.uniform(0.3, 0.7))
    blob = hump(anatomy.u - centre, 0.3) * where
    fill = (0.3 + 0.32 * level) * blob * (1 + 0.3 * texture(anatomy, rng, "patchy"))
    return Change(fill=fill.clamp(min=0))


def infiltration(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw streaky and patchy ill-defined densities along the bronchovascular bundles of a zone."""
    where = zone(anatomy, finding, rng)
    streaks = 0.35 * texture(anatomy, rng, "fine") + 0.6 * texture(anatomy, rng, "patchy")
    fill = (0.2 + 0.25 * level) * where * (0.75 + 0.7 * streaks).clamp(min=0)
    return Change(fill=fill, add=(0.7 + 0.5 * level) * anatomy.vessels * where)


def ground_glass_opacity(
    anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator
) -> Change:
    """Draw even haze with geographic borders that leaves vessels visible."""
    where = zone(anatomy, finding, rng)
    geographic = 0.3 + 0.7 * step(texture(anatomy, rng, "coarse") + 0.8 + 0.6 * level, 1.8)
    return Change(fill=(0.32 + 0.26 * level) * where * geographic * above(anatomy.lungs, 3))


def atelectasis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw plate-like bands (mild), a segmental wedge with bands (moderate), a collapsed lobe (severe)."""
    side = anatomy.side(finding.laterality)
    upper = finding.location == "upper lobe"
    add = torch.zeros_like(anatomy.x)
    for _ in range(int(rng.integers(2, 4))):
        height = {"upper lobe": 0.25, "middle lobe": 0.58}.get(finding.location or "", 0.7)
        height += rng.uniform(-0.07, 0.07)
        tilt, thick = rng.uniform(-0.2, 0.2), rng.uniform(0.012, 0.018) * (1 + level)
        start, length = rng.uniform(0.1, 0.35), rng.uniform(0.4, 0.65)
        band = hump(anatomy.v - height - tilt * (anatomy.u - 0.5), thick)
        along = step(anatomy.u - start, 0.1) * step(start + length - anatomy.u, 0.1)
        add = torch.maximum(add, (13 + 9 * level) * band * along)
    add = add * side * above(anatomy.lungs, 4)
    if level < 0.25:
        return Change(add=add)
    where = zone(anatomy, finding, rng)
    if upper:  # collapses towards the apex and the mediastinum, with a sharp lower border
        border = 0.12 + 0.22 * level - 0.1 * anatomy.u
        shape = step(border - anatomy.v, 0.06)
    else:  # a triangle against spine and diaphragm
        hypotenuse = (0.3 + 0.45 * level) * (anatomy.v - 0.28) / 0.55 - anatomy.u * 0.75
        shape = step(hypotenuse, 0.14) * step(anatomy.v - 0.38, 0.12)
    fill = (0.4 + 0.45 * level) * shape * torch.maximum(where, 0.6 * side)
    return Change(fill=fill * (1 + 0.08 * texture(anatomy, rng, "patchy")), add=add * (1 - 0.5 * level))
