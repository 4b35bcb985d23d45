"""A simulated radiograph before it is developed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthesis.cases import Case
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.detector import Detector
from synthesis.images.simulator.findings import Change
from synthesis.images.simulator.overlay import Overlay


@dataclass
class Drawing:
    """One radiograph before it is developed: the healthy patient and the changes of every finding.

    Attributes:
        case: What is shown; findings that could not be made visible are gone.
        anatomy: The healthy patient.
        changes: One a finding of `case`, with the strengths it needed to be seen.
        without: (finding, other) → the change of a finding in the picture without the other one, where it is
            another.
        contrast: Contrast of each finding in this picture, in units of the smallest that counts as visible.
        developed: The picture, then the picture without each finding, once developed:
            (1 + findings, height, width).
    """

    case: Case
    anatomy: Anatomy
    healthy: Tensor
    detector: Detector
    overlay: Overlay
    changes: list[Change]
    strengths: list[float]
    without: Mapping[tuple[int, int], Change] = field(default_factory=dict)
    contrast: list[float] = field(default_factory=list)
    developed: Tensor | None = None

    def pictures(self, without: Sequence[int | None] = (None,)) -> Tensor:
        """Return pictures in [0, 1], (len(without), height, width), each less at most one finding."""
        total = self.healthy.repeat(len(without), 1, 1)
        kept = torch.ones_like(total)
        for k, (change, strength) in enumerate(zip(self.changes, self.strengths, strict=True)):
            parts = change.parts(strength)
            for i, left_out in enumerate(without):
                other = self.without.get((k, left_out)) if left_out is not None else None
                fill, add = parts if other is None else other.parts(strength)
                if left_out != k and fill is not None:  # findings fill what others leave
                    kept[i].addcmul_(kept[i], fill, value=-1)
                if left_out != k and add is not None:
                    total[i].add_(add)
        total.addcmul_(self.anatomy.air, kept.neg_().add_(1)).clamp_(min=0)
        return self.overlay.apply(self.detector.develop(total))
