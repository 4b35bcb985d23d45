"""When a finding counts as seen, and what happens to one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from synthesis.cases import Case
from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.detector import blurred
from synthesis.images.simulator.drawing import Drawing
from synthesis.images.simulator.fields import above
from synthesis.images.simulator.findings import Painted


@dataclass(frozen=True)
class Visibility:
    """Floors that a finding must reach in its picture.

    Attributes:
        contrast: Of its mean change over its mask, against the texture there.
        change: Of its mean change in grey value over the mask.
        area: Fewest pixels of its mask, of a 128×128 picture.
        strengthen: Largest factor by which a faint finding is drawn again.
    """

    contrast: float = 1.6
    change: float = 0.05
    area: int = 10
    strengthen: float = 3.0

    def ensure(self, drawing: Drawing, paint: Callable[[Case, Anatomy], Painted]) -> Drawing:
        """Strengthen findings that are too faint, and drop those that stay so.

        Args:
            drawing: What was drawn.
            paint: Draws the findings of a case anew: what is left may look otherwise without what was
                dropped.

        Returns:
            The drawing of what is seen, its case included.
        """
        if not drawing.changes:
            return drawing
        contrast = self.relative_contrast(drawing)
        faint = [k for k, c in enumerate(contrast) if c < 1.0]
        for k in faint:
            drawing.strengths[k] = float(min(self.strengthen, 1.25 / max(contrast[k], 0.05)))
        if faint:
            contrast = self.relative_contrast(drawing)
        kept = [k for k, c in enumerate(contrast) if c >= 1.0]
        if len(kept) < len(contrast):
            case = replace(drawing.case, findings=tuple(drawing.case.findings[k] for k in kept))
            changes, without = [drawing.changes[k] for k in kept], drawing.without
            if without:
                changes, without = paint(case, drawing.anatomy)
            strengths = [drawing.strengths[k] for k in kept]
            drawing = replace(
                drawing, case=case, changes=changes, without=without, strengths=strengths, developed=None
            )
        drawing.contrast = [contrast[k] for k in kept]
        return drawing

    def relative_contrast(self, drawing: Drawing) -> list[float]:
        """Return each finding's contrast over its floor (below 1: not visible enough)."""
        drawing.developed = drawing.pictures([None, *range(len(drawing.changes))])
        change = (drawing.developed[:1] - drawing.developed[1:]).abs_()
        healthy, unit = drawing.detector.toned, drawing.healthy.shape[-1] / 128
        texture = (healthy - blurred(healthy, 4 * unit)).square_()
        floors = change.amax(dim=(1, 2), keepdim=True).mul_(0.25).clamp_(min=0.5 / 255)
        mask = above(change, floors)
        count = mask.sum(dim=(1, 2))
        pixels = count.clamp(min=1)
        mean = (change * mask).sum(dim=(1, 2)) / pixels
        noise = (mask.mul_(texture).sum(dim=(1, 2)) / pixels).sqrt_() + 0.004
        area = count / (self.area * unit**2)
        ratios = torch.stack([mean / noise / self.contrast, mean / self.change, area])
        return ratios.amin(dim=0).tolist()
