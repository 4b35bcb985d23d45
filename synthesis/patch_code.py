"""An exact code of images, without training: small patches by their frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.limits import above, at_least


@dataclass(frozen=True)
class PatchCode:
    """The discrete cosine transform of patches (as in JPEG): orthonormal, so that nothing is lost.

    A grey image becomes ``patch²`` channels at ``1 / patch`` of its side. With ``whitening`` 0 noise on the
    latents is white noise on the image. Images have most of their energy in low frequencies; whitening makes
    channels more alike in size, as the latents of a trained autoencoder are.

    Attributes:
        patch: Side of a patch, px.
        scale: What latents are multiplied with. The smaller it is, the sooner they drown in noise: more of a
            diffusion's training is then about what the report alone tells, and less about detail.
        whitening: Channels are also multiplied by (1 + frequency) to this power; 0 leaves them.

    Raises:
        ValueError: If a number makes no sense.
    """

    patch: int = 4
    scale: float = 2.0
    whitening: float = 0.0

    def __post_init__(self) -> None:
        at_least(self, 2, patch=self.patch)
        above(self, 0, scale=self.scale)
        at_least(self, 0, whitening=self.whitening)

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return self.patch**2

    def side(self, image_size: int) -> int:
        """Return the side of the latents of an image.

        Raises:
            ValueError: If the image is not made of whole patches.
        """
        if image_size % self.patch:
            raise ValueError(
                f"PatchCode: image_size is {image_size}, which is no multiple of patch={self.patch}: choose "
                "another patch or size"
            )
        return image_size // self.patch

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images ``(batch, 1, size, size)`` in [0, 1]: see `channels` and `side`."""
        latents = F.conv2d(2 * images - 1, self._basis.to(images), stride=self.patch)
        return latents * self._gains.to(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents: the inverse of `encode`. They are not clamped."""
        spread = latents / self._gains.to(latents)
        return 0.5 * F.conv_transpose2d(spread, self._basis.to(latents), stride=self.patch) + 0.5

    @cached_property
    def _basis(self) -> Tensor:
        """Cosines ``(frequency, 1, patch, patch)``, orthonormal."""
        places, n = torch.arange(self.patch, dtype=torch.float64), self.patch
        waves = torch.cos(math.pi / n * (places[None] + 0.5) * places[:, None]) * math.sqrt(2 / n)
        waves[0] /= math.sqrt(2)
        return torch.einsum("ux,vy->uvxy", waves, waves).reshape(n * n, 1, n, n)

    @cached_property
    def _gains(self) -> Tensor:
        places = torch.arange(self.patch, dtype=torch.float64)
        frequency = (places[:, None].square() + places[None].square()).sqrt()
        return self.scale * (1 + frequency).pow(self.whitening).reshape(1, -1, 1, 1)
