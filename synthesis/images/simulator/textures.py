"""A bank of random fields, made once, from which findings cut their textures."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 256  # texels a side; the fields are periodic
FIELDS = 12  # of each kind
TEXTURE_SEED = 20


class TextureBank:
    """Periodic Gaussian random fields, zero mean, unit variance.

    Kinds: `coarse` (features of about 60 texels), `patchy` (25), `fine` (9), `grain` (3) and `reticular`
    (thin bright lines between cells, from the ridges of a fine field).
    """

    def __init__(self, seed: int = TEXTURE_SEED) -> None:
        rng = np.random.default_rng(seed)
        wavelengths = {"coarse": 60.0, "patchy": 25.0, "fine": 9.0, "grain": 3.0}
        self.fields = {kind: self._band(rng, length) for kind, length in wavelengths.items()}
        ridges = torch.exp(-((self._band(rng, 8.0) / 0.22) ** 2))
        self.fields["reticular"] = (ridges - ridges.mean()) / ridges.std()
        self.fields = {kind: field.tile(1, 2, 2) for kind, field in self.fields.items()}

    @staticmethod
    def _band(rng: np.random.Generator, wavelength: float) -> Tensor:
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
        # Power falls off beyond the wanted scale as in fractal tissue, not as sharply as a Gaussian.
        amplitude = 1 / (1 + (frequency * wavelength) ** 2.2)
        amplitude[0, 0] = 0
        white = np.fft.fft2(rng.normal(size=(FIELDS, SIZE, SIZE)))
        field = np.fft.ifft2(white * amplitude).real
        return torch.from_numpy((field / field.std(axis=(1, 2), keepdims=True)).astype(np.float32))

    def cut(self, rng: np.random.Generator, kind: str, shape: tuple[int, int], mm_per_pixel: float) -> Tensor:
        """Cut a random window of a random field, (height, width), at about 2 mm a texel for any size."""
        field = self.fields[kind][int(rng.integers(FIELDS))]
        texels = [min(SIZE, max(8, round(n * mm_per_pixel / 2.0))) for n in shape]
        # The fields are stored twice over, each way: any window of a period is one slice.
        top, left = int(rng.integers(SIZE)), int(rng.integers(SIZE))
        window = field[top : top + texels[0], left : left + texels[1]]
        if rng.random() < 0.5 and texels[0] == texels[1]:
            window = window.T
        return F.interpolate(window[None, None], size=shape, mode="bilinear", align_corners=False)[0, 0]


@functools.lru_cache(maxsize=2)
def texture_bank(seed: int = TEXTURE_SEED) -> TextureBank:
    """Return the bank of a seed, made once a process (about 0.3 s)."""
    return TextureBank(seed)
