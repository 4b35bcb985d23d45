"""How training changes radiographs: a pure function of an image and of random numbers handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """Changes of exposure, framing, shape and processing; by default light ones of the first two.

    The others, off by default, are domain randomisation (Tobin et al. 2017, arXiv 1703.06907): what has been
    learnt from simulated radiographs should not hang on how these are exposed, shaped and processed. Every
    length is relative to the image, so that a strength means the same at any size.

    Never a horizontal flip: it would turn "left" into "right" and put the heart on the wrong side.

    Attributes:
        brightness: Added to the intensity, uniformly from ±this.
        contrast: Relative change of the distance from mid-grey, uniformly from ±this.
        gamma: The exponent is e to a number uniformly from ±this.
        scale: Relative change of the size, uniformly from ±this.
        shift: Displacement in each direction as a share of the image's side, uniformly from ±this.
        curve: Bends the tones along a random rising curve; s.d. of the log steps between its seven knots.
        rotation: Turn in degrees, uniformly from ±this, < 90.
        shear: Sideways displacement by distance from the middle row, uniformly from ±this.
        stretch: Width over height is e to a number uniformly from ±this.
        warp: Smooth displacement; s.d. at the sixteen knots of its field, as a share of the side.
        shading: Smooth relative change of the intensity; s.d. at the sixteen knots of its field.
        sharpness: Share of what a blur takes away that is added (edge enhancement) or, negative, taken off,
            uniformly from ±this; the blur's width is 1 to 7 % of the side.
        noise: Gaussian noise added to each pixel; its s.d. is uniform from 0 to this.
        erase: How often a rectangle of 10 to 35 % of the sides gets one random grey (Zhong et al.
            2020, arXiv 1708.04896).
    """

    brightness: float = 0.08
    contrast: float = 0.12
    gamma: float = 0.15
    scale: float = 0.06
    shift: float = 0.04
    curve: float = 0.0
    rotation: float = 0.0
    shear: float = 0.0
    stretch: float = 0.0
    warp: float = 0.0
    shading: float = 0.0
    sharpness: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        """Refuse strengths that make no sense."""
        for name, value in vars(self).items():
            limit = 90 if name == "rotation" else 1
            if not 0 <= value < limit:
                raise ValueError(
                    f"augmentation {name}={value}: give a number ≥ 0 and < {limit}; 0 switches it off."
                )

    @property
    def moves(self) -> bool:
        """Whether anything leaves its place, so that masks would not fit any more."""
        return max(self.scale, self.shift, self.rotation, self.shear, self.stretch, self.warp) > 0

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
        table = torch.from_numpy(self._curved(np.clip(levels, 0, 1) ** np.exp(gamma), rng)).float()
        changed = table[image.long()]
        if self.moves:
            changed = self._moved(changed, 1 + float(scale), 2 * np.array(shift), rng)
        if max(self.shading, self.sharpness, self.noise, self.erase) > 0:
            changed = self._processed(changed, rng).clamp(0, 1)
        return changed

    def _curved(self, levels: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        if not self.curve:
            return levels
        steps = np.exp(self.curve * rng.normal(size=6))
        knots = np.concatenate([[0], steps.cumsum() / steps.sum()])
        return np.interp(levels, np.linspace(0, 1, len(knots)), knots)

    def _moved(
        self, image: Tensor, scale: float, shift: npt.NDArray[np.float64], rng: np.random.Generator
    ) -> Tensor:
        # One image a call and no matrix product, for what else is in the batch must not change a bit.
        lines = (torch.linspace(1 / n - 1, 1 - 1 / n, n) for n in image.shape[-2:])
        y, x = torch.meshgrid(*lines, indexing="ij")
        turn, shear, stretch = rng.uniform(-1, 1, 3) * (math.radians(self.rotation), self.shear, self.stretch)
        cos, sin, wide, high = math.cos(turn), math.sin(turn), math.exp(stretch / 2), math.exp(-stretch / 2)
        across = (cos * x - sin * y) / (scale * wide) + shear * y + float(shift[1])
        down = (sin * x + cos * y) / (scale * high) + float(shift[0])
        grid = torch.stack([across, down], dim=-1)
        if self.warp:
            grid = grid + 2 * self.warp * _smooth_noise(rng, 2, image.shape[-2:]).movedim(0, -1)
        return F.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]

    def _processed(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        side = min(image.shape[-2:])
        if self.shading:
            image = image * (1 + self.shading * _smooth_noise(rng, 1, image.shape[-2:]))
        if self.sharpness:
            reach = max(1, round(rng.uniform(0.005, 0.035) * side))
            padded = F.pad(image[None], [reach] * 4, mode="replicate")
            blurred = F.avg_pool2d(padded, 2 * reach + 1, stride=1)[0]
            image = image + float(rng.uniform(-self.sharpness, self.sharpness)) * (image - blurred)
        if self.noise:
            grain = rng.standard_normal(image.shape, dtype=np.float32)
            image = image + float(rng.uniform(0, self.noise)) * torch.from_numpy(grain)
        if rng.uniform() < self.erase:
            height, width = (rng.uniform(0.1, 0.35, 2) * image.shape[-2:]).astype(int)
            top, left = (
                rng.integers(0, n - m + 1) for n, m in zip(image.shape[-2:], (height, width), strict=True)
            )
            image = image.clone()
            image[:, top : top + height, left : left + width] = float(rng.uniform())
        return image


def _smooth_noise(rng: np.random.Generator, channels: int, size: torch.Size) -> Tensor:
    """Return a smooth random field ``(channels, *size)`` with s.d. 1 at its 4 × 4 knots."""
    knots = torch.from_numpy(rng.standard_normal((1, channels, 4, 4), dtype=np.float32))
    return F.interpolate(knots, tuple(size), mode="bicubic", align_corners=True)[0]
