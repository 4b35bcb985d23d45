"""What a finding does to the line integrals of a chest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from synthesis.cases import Finding
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.fields import hump, step

FAINT = 0.05  # of a change's peak; fainter tails are cut so that a mask is where a finding is seen


@dataclass(frozen=True)
class Change:
    """A finding as a change of line integrals, at strength 1.

    Attributes:
        fill: Share of each ray's lung path that water replaces, up to 1; negative: path that loses its
            tissue.
        add: mm of water added (devices, calcium, displaced organs) or, negative, taken away.
        moved: What the organs that the finding moves change beside it (`displaced`), at any strength.
    """

    fill: Tensor | None = None
    add: Tensor | None = None
    moved: Change | None = None

    def parts(self, strength: float = 1.0) -> tuple[Tensor | None, Tensor | None]:
        """Return the share of the lung path that is filled and the mm of water added, at a strength.

        Both fade to exactly nothing where they are below `FAINT` of their peak, so that a finding has an end.

        Args:
            strength: Multiplies the change; filling stays below 0.97 of the lung.
        """
        fill = None if self.fill is None else _faded((self.fill * strength).clamp(-0.6, 0.97))
        add = None if self.add is None else _faded(self.add * strength)
        if self.moved is None:
            return fill, add
        return both_filled(fill, self.moved.fill), both_added(add, self.moved.add)


def both_filled(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Return the share that two fillings take together: the second fills what the first leaves."""
    if first is None or second is None:
        return second if first is None else first
    return 1 - (1 - first) * (1 - second)


def both_added(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Return the sum of two maps, either of which may be missing."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _faded(change: Tensor) -> Tensor:
    return F.softshrink(change, FAINT * float(change.abs().amax()))


Painter = Callable[[Anatomy, Finding, float, np.random.Generator], Change]
"""Draws a finding: anatomy, finding, level (0 mildest to 1 most severe), this finding's random stream."""


def zone(anatomy: Anatomy, finding: Finding, rng: np.random.Generator) -> Tensor:
    """Return soft weights (height, width) of the side and the zone or lobe that a finding names.

    Zones are thirds of the lung's visible height; lobes come from the CT's segmentation.
    """
    side = anatomy.side(finding.laterality)
    # Visible lung ends at the dome, about 0.8 of the way to the recess behind it.
    bands = {"upper zone": 0.14, "mid zone": 0.42, "lower zone": 0.68}
    if finding.location in bands:
        centre = bands[finding.location] + float(rng.uniform(-0.03, 0.03))
        return side * hump(anatomy.v - centre, 0.13)
    if finding.location == "perihilar":
        return side * hump(anatomy.u - 0.1, 0.3) * hump(anatomy.v - 0.45, 0.2)
    lobes = {
        "upper lobe": (0, 2), "middle lobe": (3,), "lingula": (0,), "lower lobe": (1, 4), "base": (1, 4)
    }  # fmt: skip
    if finding.location in lobes:
        share = anatomy.lobes(lobes[finding.location]).div_(anatomy.lungs.clamp(min=1.0))
        if finding.location == "lingula":
            share = share * step(anatomy.v - 0.45, 0.2)
        if finding.location == "base":
            share = share * step(anatomy.v - 0.55, 0.2)
        return side * share
    return side
