"""How training changes radiographs: a pure function of an image and of random numbers handed in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.strong_augmentation import StrongAugmentation

Floats = npt.NDArray[np.float64]

_BLOCK = 16  # images changed at once: what is between the steps fits the cache of a core


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
        strong: Changes that no radiograph shows, after all others; None for none.
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
    strong: StrongAugmentation | None = None

    def __post_init__(self) -> None:
        """Refuse strengths that make no sense."""
        for name, value in vars(self).items():
            if name == "strong":
                continue  # checks itself
            limit = 90 if name == "rotation" else 1
            if not 0 <= value < limit:
                raise ValueError(
                    f"augmentation {name}={value}: give a number ≥ 0 and < {limit}; 0 switches it off."
                )

    @property
    def moves(self) -> bool:
        """Whether anything leaves its place, so that masks have to follow and boxes do not fit any more."""
        return max(self.scale, self.shift, self.rotation, self.shear, self.stretch, self.warp) > 0

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Change one image: see `batch`.

        Args:
            image: uint8 ``(1, height, width)``.
            rng: The random numbers of this sample in this epoch.
        """
        return self.batch(image[None], [rng])[0]

    def batch(self, images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Change some images, each by its own random numbers: none depends on the others, to the last bit.

        Args:
            images: uint8 ``(batch, 1, height, width)``.
            rngs: The random numbers of each sample in this epoch.

        Returns:
            float32 of the same shape, in [0, 1]. What comes into view from outside repeats the border.
        """
        blocks = range(0, len(images), _BLOCK)
        return torch.cat([self._block(images[i : i + _BLOCK], rngs[i : i + _BLOCK]) for i in blocks])

    def follow(self, masks: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Move masks as `batch` moves their images, by the same random numbers from their start.

        Args:
            masks: Of each image, bool ``(finding, height, width)``.
            rngs: As those that `batch` is given, not yet used.

        Returns:
            Masks of the same shapes; what comes into view from outside repeats the border, as in the image.
        """
        if not self.moves:
            return list(masks)
        drawn = self._drawn(rngs)
        self._curved(np.zeros((len(rngs), 1)), rngs)  # draws what `batch` draws before it moves anything
        grid = self._grid(masks[0].shape[-2:], 1 + drawn[:, 3], 2 * drawn[:, 4:], rngs)
        return [
            F.grid_sample(some[None].float(), one[None], padding_mode="border", align_corners=False)[0] >= 0.5
            if len(some)
            else some
            for some, one in zip(masks, grid, strict=True)
        ]

    def _drawn(self, rngs: Sequence[np.random.Generator]) -> Floats:
        strengths = (self.brightness, self.contrast, self.gamma, self.scale, self.shift, self.shift)
        return np.stack([rng.uniform(-1, 1, len(strengths)) for rng in rngs]) * strengths

    def _block(self, images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        drawn = self._drawn(rngs)
        brightness, contrast, gamma = drawn.T[:3, :, None]
        levels = (np.linspace(0, 1, 256) - 0.5) * (1 + contrast) + 0.5 + brightness
        tables = self._curved(np.clip(levels, 0, 1) ** np.exp(gamma), rngs).astype(np.float32)
        changed = torch.from_numpy(
            np.stack([table[image] for table, image in zip(tables, images.numpy(), strict=True)])
        )
        if self.moves:
            grid = self._grid(changed.shape[-2:], 1 + drawn[:, 3], 2 * drawn[:, 4:], rngs)
            changed = F.grid_sample(changed, grid, padding_mode="border", align_corners=False)
        if max(self.shading, self.sharpness, self.noise, self.erase) > 0:
            each = zip(changed, rngs, strict=True)
            changed = torch.stack([self._processed(image, rng).clamp(0, 1) for image, rng in each])
        if self.strong is not None:
            changed = self.strong.batch(changed, rngs)
        return changed

    def _curved(self, levels: Floats, rngs: Sequence[np.random.Generator]) -> Floats:
        if not self.curve:
            return levels
        bent = []
        for row, rng in zip(levels, rngs, strict=True):
            steps = np.exp(self.curve * rng.normal(size=6))
            knots = np.concatenate([[0], steps.cumsum() / steps.sum()])
            bent.append(np.interp(row, np.linspace(0, 1, len(knots)), knots))
        return np.stack(bent)

    def _grid(
        self, size: torch.Size, scale: Floats, shift: Floats, rngs: Sequence[np.random.Generator]
    ) -> Tensor:
        """Return where each pixel of each image looks, ``(batch, height, width, 2)``, as `F.grid_sample`."""
        # No matrix product, for what else is in the batch must not change a bit.
        y, x = (torch.linspace(1 / n - 1, 1 - 1 / n, n) for n in size)
        y = y[:, None]
        drawn = np.stack([rng.uniform(-1, 1, 3) for rng in rngs])
        turn, shear, stretch = (drawn * (math.radians(self.rotation), self.shear, self.stretch)).T
        across, down = x, y
        if self.rotation:
            cos, sin = _each(np.cos(turn)), _each(np.sin(turn))
            across, down = cos * x - sin * y, sin * x + cos * y
        across = across / _each(scale * np.exp(stretch / 2))
        if self.shear:
            across = across + _each(shear) * y
        across, down = across + _each(shift[:, 1]), down / _each(scale * np.exp(-stretch / 2))
        grid = torch.empty(len(rngs), *size, 2)
        grid[..., 0], grid[..., 1] = across, down + _each(shift[:, 0])
        if self.warp:
            grid += 2 * self.warp * torch.stack([_smooth_noise(rng, 2, size) for rng in rngs]).movedim(1, -1)
        return grid

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


def _each(values: Floats) -> Tensor:
    """Return a number for each image, to be combined with its coordinates."""
    return torch.from_numpy(values).float()[:, None, None]


def _smooth_noise(rng: np.random.Generator, channels: int, size: torch.Size) -> Tensor:
    """Return a smooth random field ``(channels, *size)`` with s.d. 1 at its 4 × 4 knots."""
    knots = torch.from_numpy(rng.standard_normal((1, channels, 4, 4), dtype=np.float32))
    return F.interpolate(knots, tuple(size), mode="bicubic", align_corners=True)[0]
