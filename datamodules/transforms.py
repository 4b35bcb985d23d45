"""What varies between the epochs of training: pure functions of a sample and of random numbers handed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.reports.report import Report


@dataclass(frozen=True)
class Augmentation:
    """Light changes of a radiograph: exposure, and framing as if the patient stood a little elsewhere.

    Never a horizontal flip: it would turn "left" into "right" and put the heart on the wrong side.

    Attributes:
        brightness: Added to the intensity, uniformly from ±this.
        contrast: Relative change of the distance from mid-grey, uniformly from ±this, < 1.
        gamma: The exponent is e to a number uniformly from ±this.
        scale: Relative change of the size, uniformly from ±this, < 1.
        shift: Displacement in each direction as a share of the image's side, uniformly from ±this.
    """

    brightness: float = 0.08
    contrast: float = 0.12
    gamma: float = 0.15
    scale: float = 0.06
    shift: float = 0.04

    def __post_init__(self) -> None:
        """Refuse strengths that make no sense."""
        for name, value in vars(self).items():
            if not 0 <= value < 1:
                raise ValueError(
                    f"augmentation {name}={value}: give a number ≥ 0 and < 1; 0 switches it off."
                )

    @property
    def moves(self) -> bool:
        """Whether anything leaves its place, so that masks would not fit any more."""
        return self.scale > 0 or self.shift > 0

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Change one image.

        Args:
            image: uint8 ``(1, height, width)``.
            rng: The random numbers of this sample in this epoch.

        Returns:
            float32 of the same shape, in [0, 1]. What comes into view from outside repeats the border.
        """
        strengths = (self.brightness, self.contrast, self.gamma, self.scale, self.shift, self.shift)
        brightness, contrast, gamma, scale, *shift = rng.uniform(-1, 1, len(strengths)) * strengths
        levels = (np.linspace(0, 1, 256) - 0.5) * (1 + contrast) + 0.5 + brightness
        table = torch.from_numpy(np.clip(levels, 0, 1) ** np.exp(gamma)).float()
        toned = table[image.long()]
        return self._framed(toned, 1 + scale, 2 * np.array(shift)) if self.moves else toned

    @staticmethod
    def _framed(image: Tensor, scale: float, shift: npt.NDArray[np.float64]) -> Tensor:
        # One image a call and no matrix product, for what else is in the batch must not change a bit.
        y, x = (
            torch.linspace(1 / n - 1, 1 - 1 / n, n) / float(scale) + float(s)
            for n, s in zip(image.shape[-2:], shift, strict=True)
        )
        grid = torch.stack(torch.broadcast_tensors(x, y[:, None]), dim=-1)
        return F.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]


@dataclass(frozen=True)
class TextView:
    """Which part of a report a training step reads, so that short texts (prompts) are no strangers later.

    Attributes:
        whole: Relative frequency of the whole report with its headings.
        findings: … of the FINDINGS section alone.
        impression: … of the IMPRESSION section alone.
        sentences: … of a few sentences in their order.
        most_sentences: How many sentences at most, ≥ 1; the number is uniform from 1.
        claims: Whether the batch also holds what each text asserts and denies. Views but the first.
    """

    whole: float = 0.4
    findings: float = 0.2
    impression: float = 0.2
    sentences: float = 0.2
    most_sentences: int = 3
    claims: bool = False

    def __post_init__(self) -> None:
        """Refuse frequencies from which nothing can be drawn."""
        weights = (self.whole, self.findings, self.impression, self.sentences)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"{self}: the four frequencies must be ≥ 0 and at least one of them > 0.")
        if self.most_sentences < 1:
            raise ValueError(f"most_sentences={self.most_sentences}: give 1 or more.")

    def __call__(self, report: Report, rng: np.random.Generator) -> str:
        """Return the text that is read this time; the whole report where the chosen part is empty.

        Args:
            report: The report of a sample.
            rng: The random numbers of this sample in this epoch.
        """
        weights = np.cumsum([self.whole, self.findings, self.impression, self.sentences])
        choice = int(np.searchsorted(weights, rng.uniform(0, weights[-1]), side="right"))
        sections = (full_text(report), report.findings, report.impression)
        text = sections[choice] if choice < len(sections) else self._few_sentences(report, rng)
        return text.strip() or sections[0]

    def _few_sentences(self, report: Report, rng: np.random.Generator) -> str:
        sentences = report.sentences()
        count = min(int(rng.integers(1, self.most_sentences + 1)), len(sentences))
        chosen = sorted(rng.choice(len(sentences), count, replace=False)) if count else []
        return " ".join(sentences[i] for i in chosen)


def full_text(report: Report) -> str:
    """Return a report with the headings of the sections that it has (real ones may lack one)."""
    if report.findings.strip() and report.impression.strip():
        return report.text
    if report.impression.strip():
        return f"IMPRESSION: {report.impression}"
    return f"FINDINGS: {report.findings}"
