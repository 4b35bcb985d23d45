"""Heart, mediastinum, hiatus, and the bones of the chest."""

from __future__ import annotations

import numpy as np
import torch

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import hump, step
from synthesis.images.simulator.findings.change import Change
from synthesis.images.simulator.findings.focal import place


def cardiomegaly(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a heart wider than half the thorax: it grows into the lung that it displaces."""
    scale = 1.24 + 0.36 * level + float(rng.uniform(-0.03, 0.03))
    width, height = (
        scale * anatomy.patient.heart_scale[0],
        (1 + 0.55 * (scale - 1)) * anatomy.patient.heart_scale[1],
    )
    grown = anatomy.builder.one_heart(anatomy.patient, anatomy.x, anatomy.y, width, height)
    deeper = 1 + 0.35 * (scale - 1)
    grown = torch.minimum((deeper * grown - anatomy.heart).clamp(min=0), anatomy.lungs)
    return Change(fill=grown / anatomy.lungs.clamp(min=1.0))


def enlarged_cardiomediastinum(
    anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator
) -> Change:
    """Draw a superior mediastinum wider than usual: water replaces the lung beside it, both sides."""
    width = 9 + 20 * level + float(rng.uniform(-2, 3))
    lateral = (anatomy.x - anatomy.builder.atlas.poses[anatomy.atlas_pose].midline).abs()
    bulge = 34 + width * (0.75 + 0.35 * hump(anatomy.y + 60, 40)) * (1.1 - 0.2 * anatomy.left)
    extent = step(anatomy.y + 128, 30) * step(5 - anatomy.y, 60)
    return Change(fill=0.93 * step(bulge - lateral, 13.0) * extent)


def hernia(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw stomach behind the heart: a round opacity over the midline with an air-fluid level."""
    radius = 21 + 19 * level
    cx, cy = float(rng.uniform(2, 24)), float(rng.uniform(36, 50))
    dx, dy = anatomy.x - cx, (anatomy.y - cy) * 1.1
    distance = torch.sqrt(dx * dx + dy * dy)
    path = 2 * torch.sqrt((radius**2 - distance**2).clamp(min=0))
    wall = 12 * hump(distance - radius, 2.6)
    surface = cy - radius * float(rng.uniform(0.0, 0.35))
    gas = step(surface - anatomy.y, 2.0)
    replaced = torch.minimum(path, anatomy.lungs) * 0.35
    return Change(add=wall + path * (0.4 - 0.95 * gas) + replaced * (1 - gas))


def fracture(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw rib fractures with gap and callus (one, or a displaced column), or a displaced clavicle."""
    side = anatomy.side(finding.laterality)
    sign = 1.0 if finding.laterality == "left" else -1.0
    if finding.location == "clavicle":
        break_at = float(rng.uniform(78, 108))
        step_down = (10 + 10 * level) * float(rng.choice([-1, 1], p=[0.25, 0.75]))
        shifted = anatomy.builder.one_girdle(anatomy.patient, anatomy.x - sign * 4, anatomy.y - step_down)
        beyond = step(sign * anatomy.x - break_at, 3.0) * side
        near = (anatomy.y < -95) & (anatomy.y > -175)
        gap = -anatomy.girdle * hump(sign * anatomy.x - break_at, 3.5) * side
        # The end lies where the collar bone is at the break; a healing one is wrapped in callus.
        bone = (anatomy.girdle * hump(sign * anatomy.x - break_at, 4.0) * near * side).amax(dim=1)
        row = anatomy.y[int(bone.argmax()), 0] + 0.5 * step_down
        callus = _ball(sign * anatomy.x - break_at, anatomy.y - row, 10.0)
        return Change(add=(3.2 * ((shifted - anatomy.girdle) * beyond + gap) * near + 120 * callus) * side)
    bone = anatomy.ribs * side * step(anatomy.u - 0.45, 0.2) * hump(anatomy.v - 0.45, 0.2)
    centre = _on_bone(anatomy, bone, rng)
    add = torch.zeros_like(anatomy.x)
    spacing, multiple = float(rng.uniform(24, 30)), level > 0.5
    # Ends that have slipped by about the height of a rib.
    fallen = torch.roll(anatomy.ribs, max(1, round(float(rng.uniform(7, 11)) / anatomy.mm)), dims=0)
    for k in range(int(rng.integers(3, 6)) if multiple else 1):
        cx = centre[0] + sign * float(rng.normal(0, 2.5)) * (k > 0)
        cy = centre[1] + spacing * (k - 1.5 * multiple)
        dx, dy = anatomy.x - cx, anatomy.y - cy
        callus = _ball(dx, dy, 8.5 if multiple else 9.5)
        gap = torch.exp(-((dx * 0.9 + dy * 0.45) ** 2) / (2 * 2.2**2)) * (dx.abs() < 10) * (dy.abs() < 10)
        add = add + 95 * callus - anatomy.ribs * gap
        if multiple:
            beyond = step(sign * dx, 3.0) * hump(dx, 22) * hump(dy, 9)
            add = add + 1.5 * (fallen - anatomy.ribs) * beyond
    return Change(add=add * side * (anatomy.v < 1.0))


def _ball(dx: torch.Tensor, dy: torch.Tensor, radius: float) -> torch.Tensor:
    return torch.exp(-(dx * dx + dy * dy) / (2 * radius**2))


def _on_bone(anatomy: Anatomy, bone: torch.Tensor, rng: np.random.Generator) -> tuple[float, float]:
    chance = (bone.clamp(min=0) ** 2).flatten().cumsum(0).cpu().double()
    if float(chance[-1]) <= 0:
        return place(anatomy, bone + 1.0, rng)
    index = int(
        torch.searchsorted(chance, float(rng.random()) * float(chance[-1])).clamp(max=len(chance) - 1)
    )
    return float(anatomy.x.flatten()[index]), float(anatomy.y.flatten()[index])


def scoliosis(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a thoracic spine curved to one side, mild about 15 mm off the midline, severe 45."""
    amount = (13 + 28 * level) * (1.0 if finding.laterality == "left" else -1.0)
    centre, length = float(rng.uniform(-30, 20)), float(rng.uniform(70, 90))
    bend = amount * (hump(anatomy.y - centre, length) - 0.45 * hump(anatomy.y - centre - 190, length))
    curved = (
        anatomy.builder.one_map("spine", anatomy.patient, anatomy.x - bend, anatomy.y)
        * anatomy.patient.spine_gain
    )
    # Where vertebrae come to lie over lung, their soft tissue replaces it.
    beside = hump(anatomy.x - bend, 15) * step(anatomy.y + 140, 40)
    return Change(fill=0.55 * beside * step(bend.abs() - 8, 12), add=1.6 * (curved - anatomy.spine))
