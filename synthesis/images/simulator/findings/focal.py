"""Focal and chronic lung disease: nodules, masses, tuberculosis-type disease, fibrosis, emphysema."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import above, hump, sphere, step
from synthesis.images.simulator.findings.change import Change, zone
from synthesis.images.simulator.findings.opacities import texture


def place(anatomy: Anatomy, weights: Tensor, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a point (x, y in mm) with probability proportional to weights times lung path."""
    return places(anatomy, weights, rng.random(1))[0]


def places(anatomy: Anatomy, weights: Tensor, draws: np.ndarray) -> list[tuple[float, float]]:
    """Draw several points as `place` does, by as many numbers from [0, 1)."""
    chance = (weights * anatomy.lungs.clamp(max=60) * above(anatomy.lungs, 15)).flatten().double().cumsum(0)
    numbers = torch.from_numpy(np.ascontiguousarray(draws)).to(chance.device)
    index = torch.searchsorted(chance, numbers * chance[-1]).clamp_(max=len(chance) - 1)
    return list(zip(anatomy.x.take(index).tolist(), anatomy.y.take(index).tolist(), strict=True))


def balls(
    anatomy: Anatomy,
    centres: Sequence[tuple[float, float]],
    radii: np.ndarray,
    phases: np.ndarray,
    lobes: float,
) -> Tensor:
    """Return the path in mm through lobulated balls, at each place through the one that is deepest there.

    Args:
        anatomy: The patient.
        centres: (x, y) of each in mm.
        radii: Of each in mm.
        phases: (ball, 4) in [0, 1): how the waves of its outline lie.
        lobes: How much the outline waves, as a share of the radius.
    """
    device, size = anatomy.x.device, anatomy.x.shape[0]
    # Only the neighbourhood of each is computed: a picture may hold two dozen.
    reach = math.ceil(1.7 * float(radii.max()) * (1 + 2 * lobes) / anatomy.mm) + 2
    middle = np.rint(anatomy.to_pixels(np.array(centres))).astype(int)
    near = np.clip(middle[:, :, None] + np.arange(-reach, reach + 1), 0, size - 1)
    at = torch.from_numpy((near[:, 0, :, None] * size + near[:, 1, None]).reshape(len(radii), -1)).to(device)
    numbers = np.concatenate([centres, radii[:, None], 2 * np.pi * phases], axis=1).astype(np.float32)
    cx, cy, radius, *waves = torch.from_numpy(numbers).to(device).T[:, :, None]
    dx, dy = anatomy.x.take(at).sub_(cx), anatomy.y.take(at).sub_(cy)
    angle, outline = torch.atan2(dy, dx), torch.ones_like(dx)
    for k, wave in zip((2, 3, 5, 8), waves, strict=True):
        outline.add_((k * angle).add_(wave).cos_(), alpha=lobes / k)
    squared = dx.square_().add_(dy.square_()).div_(outline.mul_(radius).square_())
    path = sphere(squared, 1.0).mul_(radius)
    empty = torch.zeros(size * size, device=device)
    return empty.scatter_reduce_(0, at.flatten(), path.flatten(), "amax").view(size, size)


def nodule(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a round opacity up to 3 cm (small 13 to 19 mm, large 20 to 29 mm); many when bilateral."""
    where = zone(anatomy, finding, rng)
    count = int(rng.integers(6, 13)) if finding.laterality == "bilateral" else 1
    if count > 1:
        where = above(anatomy.lungs, 15)
    centres, draws = places(anatomy, where, rng.random(count)), rng.random((count, 5))
    low, high = (20, 29) if level > 0.5 else (13, 19)
    path = balls(anatomy, centres, (low + (high - low) * draws[:, 0]) / 2, draws[:, 1:], 0.06)
    return Change(add=path.mul_(rng.uniform(2.3, 3.6)))


def mass(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a lobulated, often spiculated opacity over 3 cm (moderate to 5 cm, large beyond)."""
    where = zone(anatomy, finding, rng)
    if finding.location == "hilum":
        where = anatomy.side(finding.laterality) * hump(anatomy.u - 0.12, 0.08) * hump(anatomy.v - 0.42, 0.06)
    radius = float(rng.uniform(27, 42) if level > 0.5 else rng.uniform(19, 26))
    centre = place(anatomy, where, rng)
    path = balls(anatomy, [centre], np.array([radius]), rng.random((1, 4)), 0.16)
    distance = anatomy.distance(centre)
    angle = torch.atan2(anatomy.y - centre[1], anatomy.x - centre[0])
    spicules = (torch.cos(angle * int(rng.integers(9, 15)) + rng.uniform(0, 6)) - 0.4).clamp(min=0)
    rays = 9 * spicules * hump(distance - radius, 0.3 * radius) * (rng.random() < 0.5)
    # Lung tissue bounds the ball: it does not stick out of the chest.
    return Change(
        add=torch.where(anatomy.lungs > 3, 1.5 * torch.minimum(path, 15 + anatomy.lungs) + rays, 0.4 * path)
    )


def tuberculosis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw upper-lobe disease of the post-primary type: nodules, fibrotic bands to the hilum, cavities."""
    apex = anatomy.side(finding.laterality) * hump(anatomy.v - 0.17, 0.11)
    centres = places(anatomy, apex, rng.random(int(10 + 14 * level)))
    draws = rng.random((len(centres), 5))
    add = balls(anatomy, centres, 2.5 + 2.5 * draws[:, 0], draws[:, 1:], 0.1).mul_(1.6)
    fill = (0.18 + 0.2 * level) * apex * (1 + 0.6 * texture(anatomy, rng, "fine")).clamp(min=0)
    bands = (0.5 + level) * 4 * apex * texture(anatomy, rng, "reticular").clamp(min=0)
    wobble = texture(anatomy, rng, "patchy")
    if level > 0.25:
        for _ in range(1 if finding.laterality != "bilateral" else 2):
            centre, radius = place(anatomy, apex, rng), float(rng.uniform(10, 14) + 8 * level)
            distance = anatomy.distance(centre)
            ring = 13 * hump(distance - radius * (1 + 0.12 * wobble), 3.2)
            add = torch.maximum(add * step(distance - radius, 4.0), ring)
            fill = torch.where(distance < radius, -0.12, fill)
    return Change(fill=fill, add=(add + bands) * above(anatomy.lungs, 4))


def fibrosis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw coarse reticulation at the periphery, honeycombing when severe, in the named part of the lung."""
    side = anatomy.side(finding.laterality)
    where = {"upper zone": hump(anatomy.v - 0.18, 0.16), "lower zone": step(anatomy.v - 0.5, 0.25)}.get(
        finding.location or "", 0.55 + 0.45 * step(anatomy.v - 0.4, 0.4)
    )
    periphery = 0.45 + 0.55 * step(anatomy.u - 0.45, 0.4)
    weight = side * where * periphery * above(anatomy.lungs, 5)
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
    draws = rng.random((int(rng.integers(1, 3 + int(4 * level))), 2))
    bullae = zip(places(anatomy, where, draws[:, 0]), 9 + 11 * draws[:, 1], strict=True)
    beyond = torch.stack([anatomy.distance(centre).sub_(radius) for centre, radius in bullae])
    lost = lost.add_(step(-beyond, 3.0).sum(dim=0), alpha=0.5 * tissue)
    add = add.add_(hump(beyond, 1.3).sum(dim=0).mul_(above(anatomy.lungs, 5)), alpha=3.0)
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
    lower = builder.one_map("lungs", patient, anatomy.x, anatomy.y - drop * dome)
    free = step(anatomy.u - 0.12, 0.2) * torch.exp(-anatomy.heart / 8)
    gain = (lower - anatomy.lungs).clamp(min=0) * free * (1 - patient.lung_density)
    lucent = (0.05 + 0.05 * level) * anatomy.lungs
    return -(gain + lucent)
