"""Where the organs of a simulated chest lie in its picture."""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.images.simulator.drawing import Drawing
from synthesis.organ_names import ORGANS

LUNG = 40.0
"""Path in mm from which a pixel is lung: where the lung is seen, above the dome and beside the heart."""

HEART = 12.0
"""Path in mm from which a pixel is heart: its border as it is seen, inside the last faint millimetres."""

RIBS = 4.0
"""Excess path in mm of water from which a pixel is rib: outlines of both walls as they are seen."""

ZONES = {"upper_zone": (0.0, 0.28), "mid_zone": (0.28, 0.55), "lower_zone": (0.55, 2.0)}
"""Shares of the way from apex to recess: midway between the centres where findings of a zone are drawn."""


def organ_masks(drawing: Drawing) -> Tensor:
    """Return the masks of `ORGANS` in a drawing, bool ``(organ, height, width)``.

    Lungs are the patient's own, whatever has filled them: a lung under an effusion is still a lung, as in the
    masks of people who complete its outline. What an enlarged heart has displaced is heart.

    Args:
        drawing: The radiograph before it is developed.
    """
    anatomy = drawing.anatomy
    grown = torch.zeros_like(anatomy.heart)
    for finding, change, strength in zip(
        drawing.case.findings, drawing.changes, drawing.strengths, strict=True
    ):
        fill = change.parts(strength)[0] if finding.concept == "cardiomegaly" else None
        if fill is not None:
            grown = torch.maximum(grown, fill * anatomy.lungs)
    heart = anatomy.heart + grown > HEART
    lungs = (anatomy.lungs - grown > LUNG) & ~heart
    right = lungs & (anatomy.left < 0.5)
    left = lungs & (anatomy.left >= 0.5)
    masks = {"right_lung": right, "left_lung": left, "heart": heart, "ribs": anatomy.ribs > RIBS}
    for zone, (top, bottom) in ZONES.items():
        inside = (anatomy.v >= top) & (anatomy.v < bottom)
        if zone == "upper_zone":
            inside |= anatomy.v < top  # what of the apex lies above the lung's first row
        masks |= {f"right_{zone}": right & inside, f"left_{zone}": left & inside}
    return torch.stack([masks[name] for name in ORGANS])
