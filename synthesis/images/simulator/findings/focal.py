"""Focal and chronic lung disease: nodules, masses, tuberculosis-type disease, fibrosis, emphysema."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.findings.change import Change, hump, step, zone
from synthesis.images.simulator.findings.opacities import texture


def place(anatomy: Anatomy, weights: Tensor, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a point (x, y in mm) with probability proportional to weights times lung path."""
    return places(anatomy, weights, rng, 1)[0]


def places(
    anatomy: Anatomy, weights: Tensor, rng: np.random.Generator, count: int
) -> list[tuple[float, float]]:
    """Draw several points as `place` does."""
    chance = (weights * anatomy.lungs.clamp(max=60) * (anatomy.lungs > 15)).flatten().double().cumsum(0)
    draws = torch.from_numpy(rng.random(count)).to(chance.device)
    index = torch.searchsorted(chance, draws * chance[-1]).clamp(max=len(chance) - 1)
    return list(zip(anatomy.x.flatten()[index].tolist(), anatomy.y.flatten()[index].tolist(), strict=True))


def ball(
    anatomy: Anatomy, centre: tuple[float, float], radius: float, rng: np.random.Generator, lobes: float
) -> Tensor:
    """Return the path in mm through a lobulated ball."""
    path = torch.zeros_like(anatomy.x)
    # Only the ball's neighbourhood is computed: a picture may hold two dozen.
    row, column = anatomy.to_pixels(np.array([centre]))[0].round().astype(int)
    reach = int(np.ceil(1.7 * radius * (1 + 2 * lobes) / anatomy.mm)) + 2
    near = tuple(slice(max(0, i - reach), max(0, i + reach + 1)) for i in (row, column))
    dx, dy = anatomy.x[near] - centre[0], anatomy.y[near] - centre[1]
    angle = torch.atan2(dy, dx)
    outline = 1.0 + sum(lobes / k * torch.cos(k * angle + float(rng.uniform(0, 6.28))) for k in (2, 3, 5, 8))
    squared = 1 - (dx * dx + dy * dy) / (radius * outline) ** 2
    path[near] = 2 * radius * torch.sqrt(squared.clamp(min=0))
    return path


def nodule(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a round opacity up to 3 cm (small 13 to 19 mm, large 20 to 29 mm); many when bilateral."""
    where = zone(anatomy, finding, rng)
    count = int(rng.integers(6, 13)) if finding.laterality == "bilateral" else 1
    if count > 1:
        where = (anatomy.lungs > 15).float()
    add = torch.zeros_like(anatomy.x)
    for centre in places(anatomy, where, rng, count):
        diameter = rng.uniform(20, 29) if level > 0.5 else rng.uniform(13, 19)
        path = ball(anatomy, centre, diameter / 2, rng, 0.06)
        add = torch.maximum(add, path)
    return Change(add=float(rng.uniform(2.3, 3.6)) * add)


def mass(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a lobulated, often spiculated opacity over 3 cm (moderate to 5 cm, large beyond)."""
    where = zone(anatomy, finding, rng)
    if finding.location == "hilum":
        where = (
            anatomy.side(finding.laterality).float()
            * hump(anatomy.u - 0.12, 0.08)
            * hump(anatomy.v - 0.42, 0.06)
        )
    radius = float(rng.uniform(27, 42) if level > 0.5 else rng.uniform(19, 26))
    centre = place(anatomy, where, rng)
    path = ball(anatomy, centre, radius, rng, 0.16)
    distance = torch.sqrt((anatomy.x - centre[0]) ** 2 + (anatomy.y - centre[1]) ** 2)
    angle = torch.atan2(anatomy.y - centre[1], anatomy.x - centre[0])
    spicules = (torch.cos(angle * int(rng.integers(9, 15)) + rng.uniform(0, 6)) - 0.4).clamp(min=0)
    rays = 9 * spicules * hump(distance - radius, 0.3 * radius) * (rng.random() < 0.5)
    # Lung tissue bounds the ball: it does not stick out of the chest.
    return Change(
        add=torch.where(anatomy.lungs > 3, 1.5 * torch.minimum(path, 15 + anatomy.lungs) + rays, 0.4 * path)
    )


def tuberculosis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw upper-lobe disease of the post-primary type: nodules, fibrotic bands to the hilum, cavities."""
    apex = anatomy.side(finding.laterality).float() * hump(anatomy.v - 0.17, 0.11)
    add = torch.zeros_like(anatomy.x)
    for centre in places(anatomy, apex, rng, int(10 + 14 * level)):
        path = ball(anatomy, centre, float(rng.uniform(2.5, 5)), rng, 0.1)
        add = torch.maximum(add, 1.6 * path)
    fill = (0.18 + 0.2 * level) * apex * (1 + 0.6 * texture(anatomy, rng, "fine")).clamp(min=0)
    bands = (0.5 + level) * 4 * apex * texture(anatomy, rng, "reticular").clamp(min=0)
    wobble = texture(anatomy, rng, "patchy")
    if level > 0.25:
        for _ in range(1 if finding.laterality != "bilateral" else 2):
            centre, radius = place(anatomy, apex, rng), float(rng.uniform(10, 14) + 8 * level)
            distance = torch.sqrt((anatomy.x - centre[0]) ** 2 + (anatomy.y - centre[1]) ** 2)
            ring = 13 * hump(distance - radius * (1 + 0.12 * wobble), 3.2)
            add = torch.maximum(add * step(distance - radius, 4.0), ring)
            fill = torch.where(distance < radius, -0.12, fill)
    return Change(fill=fill, add=(add + bands) * (anatomy.lungs > 4))


def fibrosis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw coarse reticulation at the periphery, honeycombing when severe, in the named part of the lung."""
    side = anatomy.side(finding.laterality).float()
    where = {"upper zone": hump(anatomy.v - 0.18, 0.16), "lower zone": step(anatomy.v - 0.5, 0.25)}.get(
        finding.location or "", 0.55 + 0.45 * step(anatomy.v - 0.4, 0.4)
    )
    periphery = 0.45 + 0.55 * step(anatomy.u - 0.45, 0.4)
    weight = side * where * periphery * (anatomy.lungs > 5)
    mesh = texture(anatomy, rng, "reticular")
    lines = (4.0 + 5.0 * level) * weight * (mesh + 0.25).clamp(0, 2.2)
    fill = (0.08 + 0.16 * level) * weight * (1 + 0.5 * texture(anatomy, rng, "fine")).clamp(min=0)
    return Change(fill=fill, add=lines)


def emphysema(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw lucent lung with few vessels and thin-walled bullae, and the flat diaphragm of hyperinflation."""
    where = hump(anatomy.v - 0.12, 0.3) if finding.location == "upper zone" else torch.ones_like(anatomy.v)
    tissue = anatomy.patient.lung_density / (1 - anatomy.patient.lung_density)
    lost = (0.35 + 0.4 * level) * tissue * where * (1 + 0.25 * texture(anatomy, rng, "patchy"))
    expansion = _expansion(anatomy, 0.2 + 0.8 * level)
    add = -(0.55 + 0.35 * level) * anatomy.vessels * where
    for _ in range(int(rng.integers(1, 3 + int(4 * level)))):
        centre, radius = place(anatomy, where, rng), float(rng.uniform(9, 20))
        distance = torch.sqrt((anatomy.x - centre[0]) ** 2 + (anatomy.y - centre[1]) ** 2)
        lost = lost + 0.5 * tissue * step(radius - distance, 3.0)
        add = add + 3.0 * hump(distance - radius, 1.3) * (anatomy.lungs > 5)
    return Change(fill=-lost.clamp(0, 0.95 * tissue), add=add + expansion)


def hyperinflation(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw low, flat hemidiaphragms and wide lucent lungs."""
    return Change(add=_expansion(anatomy, level))


def _expansion(anatomy: Anatomy, level: float) -> Tensor:
    """Return what lungs that grow downwards into the abdomen take away (negative), mm of water."""
    builder, patient = anatomy.builder, anatomy.patient
    drop = 18 + 26 * level
    # The dome (medial) drops more than the recess (lateral): that is what flattens it. The heart stays.
    dome = hump(anatomy.u - 0.45, 0.4) * step(anatomy.v - 0.5, 0.3)
    lower = builder.one_lung(patient, anatomy.x, anatomy.y - drop * dome)
    free = step(anatomy.u - 0.12, 0.2) * torch.exp(-anatomy.heart / 8)
    gain = (lower - anatomy.lungs).clamp(min=0) * free * (1 - patient.lung_density)
    lucent = (0.05 + 0.05 * level) * anatomy.lungs
    return -(gain + lucent)
