"""Strong augmentation: changes that no radiograph shows, for training on simulated ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class StrongAugmentation:
    """The strong set of SyntheX (Gao et al. 2023, Nature Machine Intelligence 5:294).

    With it, networks that had seen simulated radiographs alone did as well on real ones as networks trained
    on real ones. Each change is made with probability `chance`, by itself; a strength of 0 switches it off.
    Lengths are relative to the image. Nothing leaves its place, so masks still fit.

    Attributes:
        chance: How often each change is made, in [0, 1].
        blur: Greatest s.d. of a Gaussian blur, as a share of the side, < 0.1.
        pool: Greatest side of the squares that are replaced by their mean, greatest, least or median grey, as
            a share of the side, < 0.2.
        sharpen: Greatest share of sharpened, or of embossed, that is mixed in, < 1; the least is half of it.
        drop: Greatest share of the pixels, or of coarse squares, that become black, < 1.
        impulse: Greatest share of the pixels that become black or white, or any grey, < 1.
        multiply: Grey is multiplied by 1 ± this, < 1.
        contrast: Whether contrast is changed by one of four curves: linear (0.5 to 2), a power (0.5 to 2), a
            logarithm (gain 0.6 to 1.4), a sigmoid (gain 3 to 10).
        invert: How often black and white change places, in [0, 1]; `chance` does not apply.
    """

    chance: float = 0.5
    blur: float = 0.012
    pool: float = 0.032
    sharpen: float = 0.9
    drop: float = 0.15
    impulse: float = 0.1
    multiply: float = 0.5
    contrast: bool = True
    invert: float = 0.0

    def __post_init__(self) -> None:
        """Refuse strengths that make no sense."""
        limits = {"blur": 0.1, "pool": 0.2, "sharpen": 1, "drop": 1, "impulse": 1, "multiply": 1}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value < limit:
                raise ValueError(
                    f"augmentation strong.{name}={value}: give a number ≥ 0 and < {limit}; 0 switches it off."
                )
        for name in ("chance", "invert"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"augmentation strong.{name}={getattr(self, name)}: give a probability, from 0 to 1."
                )

    def batch(self, images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Change some images, each by its own random numbers.

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].
            rngs: The random numbers of each, which go on from what other changes have used up.

        Returns:
            Images of the same shape in [0, 1].
        """
        return torch.stack([self._one(image, rng) for image, rng in zip(images, rngs, strict=True)])

    def _one(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        changes = (
            (self.blur, self._blurred),
            (self.pool, self._pooled),
            (self.sharpen, self._sharpened),
            (self.multiply, self._multiplied),
            (float(self.contrast), self._contrasted),
            (self.drop, self._dropped),
            (self.impulse, self._spoilt),
        )
        made = rng.uniform(size=len(changes)) < self.chance
        for (strength, change), chosen in zip(changes, made, strict=True):
            if strength and chosen:
                image = change(image, rng)
        if rng.uniform() < self.invert:
            image = 1 - image
        return image.clamp(0, 1)

    def _blurred(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        deviation = max(0.2, float(rng.uniform(0, self.blur)) * min(image.shape[-2:]))
        return _gaussian(image, deviation)

    def _pooled(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        height, width = image.shape[-2:]
        most = max(2, round(self.pool * min(height, width)))
        side, kind = int(rng.integers(2, most + 1)), int(rng.integers(4))
        padded = F.pad(image, (0, -width % side, 0, -height % side), mode="replicate")
        rows, columns = padded.shape[-2] // side, padded.shape[-1] // side
        squares = padded.view(rows, side, columns, side).transpose(1, 2).reshape(rows, columns, side * side)
        pool = (torch.mean, torch.amax, torch.amin, _median)[kind]
        large = pool(squares, dim=-1).repeat_interleave(side, 0).repeat_interleave(side, 1)
        return large[None, :height, :width]

    def _sharpened(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        share = float(rng.uniform(self.sharpen / 2, self.sharpen))
        if rng.uniform() < 0.5:
            return image + 2 * share * (image - _gaussian(image, max(0.8, min(image.shape[-2:]) / 128)))
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")  # embossed: lit from a corner
        return image + share * (padded[:, 2:, 2:] - padded[:, :-2, :-2])

    def _multiplied(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        return image * float(rng.uniform(1 - self.multiply, 1 + self.multiply))

    def _contrasted(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        kind, image = int(rng.integers(4)), image.clamp(0, 1)
        if kind == 0:
            return (image - 0.5) * math.exp(rng.uniform(-math.log(2), math.log(2))) + 0.5
        if kind == 1:
            return image ** math.exp(rng.uniform(-math.log(2), math.log(2)))
        if kind == 2:
            return float(rng.uniform(0.6, 1.4)) * torch.log2(1 + image)
        gain, middle = float(rng.uniform(3, 10)), float(rng.uniform(0.4, 0.6))
        return torch.sigmoid(gain * (image - middle))

    def _dropped(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        height, width = image.shape[-2:]
        coarse = (8, 8) if rng.uniform() < 0.5 else (height, width)
        kept = rng.random(coarse, dtype=np.float32) >= rng.uniform(self.drop * 2 / 3, self.drop)
        mask = torch.from_numpy(kept.astype(np.float32))[None, None]
        return image * F.interpolate(mask, size=(height, width), mode="nearest")[0]

    def _spoilt(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        share, any_grey = rng.uniform(self.impulse / 2, self.impulse), rng.uniform() < 0.5
        drawn = rng.random(image.shape, dtype=np.float32)
        grey = drawn / np.float32(share)  # of the pixels that are spoilt, uniform in [0, 1)
        value = torch.from_numpy(grey if any_grey else np.rint(grey))
        return torch.where(torch.from_numpy(drawn < share), value, image)


def _median(values: Tensor, dim: int) -> Tensor:
    return values.median(dim).values


def _gaussian(image: Tensor, deviation: float) -> Tensor:
    reach = max(1, math.ceil(2.5 * deviation))
    line = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (line / deviation) ** 2)
    weights = (weights / weights.sum())[None, None]
    padded = F.pad(image[None], [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights[..., None]), weights[..., None, :])[0]
