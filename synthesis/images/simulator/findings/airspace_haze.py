"""Infiltrate and pneumonia as haze, the form in which most films show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.findings.change import Change, zone
from synthesis.images.simulator.findings.opacities import texture
from synthesis.limits import within

DENSITIES = {"infiltration": (0.17, 0.26), "pneumonia": (0.24, 0.34)}
"""Concept → share of the lung that the mildest fills, and by how much more the most severe does."""


class AirspaceHaze:
    """Consequence of partly filled air spaces: draws some infiltrates and pneumonias as ill-defined haze.

    What radiologists call infiltrate is mostly a faint, smooth veil over a zone, often in both lungs and not
    alike, with vessels that are indistinct rather than hidden (Hansell 2008, doi:10.1148/radiol.2462070712,
    on ground glass and infiltrate). The painters' patches remain for the rest.

    Args:
        share: Of the infiltrates and pneumonias that are drawn so, in [0, 1].

    Raises:
        ValueError: The share is not within [0, 1].
    """

    version: int = 1
    concepts = frozenset(DENSITIES)
    beside = frozenset[str]()

    def __init__(self, share: float = 0.6) -> None:
        within(self, 0, 1, share=share)
        self.share = share

    def describe(self) -> dict[str, Any]:
        """See `Consequence.describe`."""
        return {"share": self.share}

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
        if rng.random() >= self.share:
            return drawn
        least, more = DENSITIES[finding.concept]
        where = zone(anatomy, finding, rng)
        cloud = 1 + 0.28 * texture(anatomy, rng, "coarse") + 0.12 * texture(anatomy, rng, "patchy")
        weaker = 1 - 0.6 * float(rng.random())  # in one of two lungs
        if finding.laterality == "bilateral":
            where = where * torch.lerp(*_shuffled(weaker, rng), anatomy.left)
        gravity = 0.75 + 0.45 * anatomy.v.clamp(0, 1)
        fill = (least + more * level) * where * cloud.clamp(min=0.2) * gravity
        return Change(fill=fill, add=0.35 * anatomy.vessels * where)


def _shuffled(weaker: float, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    right, left = (weaker, 1.0) if rng.random() < 0.5 else (1.0, weaker)
    return torch.tensor(right), torch.tensor(left)
