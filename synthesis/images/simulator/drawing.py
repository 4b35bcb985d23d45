"""A simulated radiograph before it is developed."""

from __future__ import annotations

from collections.abc import Sequence
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
    contrast: list[float] = field(default_factory=list)
    developed: Tensor | None = None

    def pictures(self, without: Sequence[int | None] = (None,)) -> Tensor:
        """Return pictures in [0, 1], (len(without), height, width), each less at most one finding."""
        parts = [change.parts(s) for change, s in zip(self.changes, self.strengths, strict=True)]
        integrals = [
            self._integral([p for k, p in enumerate(parts) if k != left_out]) for left_out in without
        ]
        return self.overlay.apply(self.detector.develop(torch.stack(integrals)))

    def _integral(self, parts: Sequence[tuple[Tensor | None, Tensor | None]]) -> Tensor:
        """Return the line integral, (height, width) in mm of water. Findings fill what others leave."""
        total, kept = self.healthy, None
        for share, add in parts:
            if share is not None:
                kept = share if kept is None else kept * share
            if add is not None:
                total = total + add
        if kept is not None:
            total = total + self.anatomy.air * (1 - kept)
        return total.clamp(min=0)
