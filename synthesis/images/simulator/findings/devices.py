"""Support devices on their anatomical courses, and what surgery and monitoring leave on a film."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import hump, step
from synthesis.images.simulator.findings.change import Change
from synthesis.images.simulator.findings.curves import spline, stamp

CARINA = -52.0  # row in mm of the atlas frame
LINE = 46.0  # mm of water of a radiopaque line

Points = list[tuple[float, float]]
"""A course in mm of the atlas frame."""


def _jitter(rng: np.random.Generator, points: Points, spread: float = 3.0) -> np.ndarray:
    return np.array(points, dtype=float) + rng.normal(0, spread, (len(points), 2))


def _mirror(points: Points, laterality: str | None) -> Points:
    """Mirror points, which are written for the patient's left (positive x), to the side of a device."""
    return points if laterality == "left" else [(-x, y) for x, y in points]


def endotracheal_tube(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a tube in the trachea: two walls and an opaque stripe, its tip where the report says."""
    above = {"near the carina": 9, "above the clavicles": 82}.get(finding.location or "", 42)
    tip = CARINA - above
    way: Points = [(-4, -260), (-3, -200), (-3, (tip - 200) / 2), (-3, tip + rng.normal(0, 4))]
    course = spline(_jitter(rng, way, 1.5))
    walls = np.concatenate([course + np.array([offset, 0.0]) for offset in (-4.2, 4.2)])
    stripe = stamp(anatomy, course, 1.5).mul_(0.6 * LINE)
    return Change(add=stripe.add_(stamp(anatomy, walls, 2.4), alpha=1.1 * LINE))


def central_venous_catheter(
    anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator
) -> Change:
    """Draw a thin line from the neck or from below the clavicle into the superior vena cava."""
    tip: Points = [(-20, -60), (-21, float(rng.uniform(-30, 8)))]
    jugular: Points = [(36, -230), (33, -180), (26, -138), (14, -112)]
    subclavian: Points = [(150, -95), (112, -118), (70, -130), (30, -112)]
    approach = jugular if finding.location == "internal jugular approach" else subclavian
    entry = _mirror(approach, finding.laterality)
    if finding.laterality == "left":  # crosses the midline in the brachiocephalic vein
        entry = [*entry, (-6, -88)]
    course = spline(_jitter(rng, entry + tip, 2.5))
    return Change(add=stamp(anatomy, course, 2.2).mul_(LINE))


def nasogastric_tube(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a tube down the oesophagus into the stomach, or ending short of it."""
    course: Points = [(0, -260), (2, -190), (3, -110), (5, -40), (9, 30)]
    course += [(16, 62)] if finding.location == "distal oesophagus" else [(15, 85), (36, 118), (66, 132)]
    return Change(add=stamp(anatomy, spline(_jitter(rng, course, 2.5)), 2.6).mul_(1.3 * LINE))


def pacemaker(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a metal generator below the clavicle, a lead to the right ventricle, maybe one to the atrium."""
    sign = 1.0 if finding.laterality == "left" else -1.0
    cx, cy = sign * float(rng.uniform(100, 122)), float(rng.uniform(-98, -78))
    dx, dy = (anatomy.x - cx) / float(rng.uniform(20, 25)), (anatomy.y - cy) / float(rng.uniform(17, 22))
    box = step(1 - (dx.abs() ** 3 + dy.abs() ** 3), 0.25)
    add = 70 * box * (0.85 + 0.3 * hump(dx - 0.3, 0.4))
    vein = _mirror([(98, -112), (66, -126), (30, -112)], finding.laterality)
    vein += [(-8, -88)] if finding.laterality == "left" else []
    vein += [(-20, -62), (-24, -10)]
    leads = [[*vein, (-12, 40), (22, 60), (50, 60)]]
    if finding.location == "dual lead":
        leads.append([*vein, (-30, 14), (-18, 2), (-12, -8)])
    courses = np.concatenate([spline(_jitter(rng, lead, 2.0)) for lead in leads])
    return Change(add=torch.maximum(add, stamp(anatomy, courses, 2.2).mul_(1.1 * LINE)))


def chest_drain(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a thick tube through the lateral wall towards the apex or the base, with an opaque stripe."""
    apical: Points = [(190, 60), (140, 20), (112, -30), (92, -80), (78, -112)]
    basal: Points = [(195, 30), (142, 50), (118, 76), (82, 92), (58, 94)]
    course = _mirror(apical if finding.location == "apical" else basal, finding.laterality)
    curve = spline(_jitter(rng, course, 5.0))
    stripe = stamp(anatomy, curve, 2.0).mul_(LINE)
    return Change(add=stripe.add_(stamp(anatomy, curve, 7.5), alpha=0.45 * LINE))


def sternotomy_wires(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw five to seven wire loops in a column over the breastbone, each twisted at its front."""
    top, spacing, lean = float(rng.uniform(-92, -78)), float(rng.uniform(17, 21)), float(rng.normal(0, 0.04))
    middle = float(rng.normal(0, 3))
    turn = np.linspace(0, 2 * np.pi, 40)[:, None]
    loops = []
    for k in range(int(rng.integers(5, 8))):
        centre = np.array([middle + lean * (top + k * spacing), top + k * spacing])
        width, height, tilt = rng.uniform(6, 9), rng.uniform(1.5, 3.0), rng.normal(0, 0.15)
        across = width * np.cos(turn)
        loop = np.concatenate([across, height * np.sin(turn) + tilt * across], axis=1)
        twist = np.array([[0.0, height], [rng.normal(0, 1.5), height + rng.uniform(2, 4)]])
        loops += [np.add(centre, loop), np.add(centre, spline(twist, 12))]
    return Change(add=stamp(anatomy, np.concatenate(loops), 1.3).mul_(1.2 * LINE))


def surgical_clips(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw a group of short metal lines in an armpit or at a hilum."""
    centre = (118.0, -62.0) if finding.location == "axilla" else (40.0, -28.0)
    spread = (9.0, 22.0) if finding.location == "axilla" else (10.0, 13.0)
    (cx, cy), *_ = _mirror([centre], finding.laterality)
    clips = []
    for _ in range(int(rng.integers(3, 8))):
        at = np.array([cx + rng.normal(0, spread[0]), cy + rng.normal(0, spread[1])])
        angle, half = rng.uniform(0, np.pi), rng.uniform(2.2, 3.4)
        way = half * np.array([np.cos(angle), np.sin(angle)])
        clips.append(np.linspace(at - way, at + way, 12))
    return Change(add=stamp(anatomy, np.concatenate(clips), 1.6).mul_(1.7 * LINE))


def ecg_leads(anatomy: Anatomy, finding: Finding, level: float, rng: np.random.Generator) -> Change:
    """Draw three to five electrodes on the skin with the wires that lead away from them."""
    wires = [wire(anatomy, rng) for _ in range(int(rng.integers(3, 6)))]
    return Change(add=1.6 * torch.stack(wires).amax(dim=0))


def wire(anatomy: Anatomy, rng: np.random.Generator) -> Tensor:
    """Return an external lead with its electrode: clutter that no report mentions, mm of water."""
    sign = float(rng.choice([-1.0, 1.0]))
    pad = (sign * float(rng.uniform(30, 140)), float(rng.uniform(-110, 110)))
    way = [
        pad,
        (sign * 130, pad[1] + float(rng.uniform(-40, 60))),
        (sign * 230, float(rng.uniform(-60, 200))),
    ]
    lead = stamp(anatomy, spline(_jitter(rng, way, 12.0)), 1.6).mul_(8)
    distance = anatomy.distance(pad)
    electrode = step(distance - 7, -2.5).mul_(9).add_(step(distance - 3, -2.0), alpha=12)
    return torch.maximum(lead, electrode)
