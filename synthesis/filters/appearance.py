"""Filters of images by how much they look like a whole frontal chest, the right way round.

What a chest looks like is a small linear model, learnt from simulated radiographs only.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.filters.measured import CANONICAL, MeasuredFilter, resized, stretched

SHIPPED = Path(__file__).with_name("appearance.npz")
SIDE, BLUR = 32, 9  # of the small image and of its local mean, in pixels of the small image
_ZOOMS, _SHIFTS = (0.9, 1.0, 1.1), (-0.08, 0.0, 0.08)  # shifts in half widths


class Appearance:
    """Principal components of small, locally normalised images (eigenfaces: Turk and Pentland 1991).

    What they leave unexplained of an image says how little it looks like a chest; compared with what they
    leave of the turned, mirrored or inverted image, it says which way round it is. No threshold depends on
    exposure or contrast, because local mean and deviation are taken away first.

    Args:
        path: The components; None takes those shipped, which `scripts/simulator/build_appearance.py` learns
            from the simulator. Those of a user's own data fit it better.

    Attributes:
        sha256: Of the file.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        path = SHIPPED if path is None else Path(path)
        if not path.is_file():
            raise ValueError(f"{path} is no file; give what scripts/simulator/build_appearance.py wrote.")
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path) as stored:
            self._mean = torch.from_numpy(stored["mean"].astype(np.float32))
            self._components = torch.from_numpy(stored["components"].astype(np.float32))

    def unexplained(self, small: Tensor) -> Tensor:
        """Return the share of each image that the components do not explain, in [0, about 1].

        Args:
            small: What `views` returned, turned or not: ``(batch, view, 32, 32)``; the best view counts.
        """
        vectors = _unit(small) - self._mean
        explained = (vectors @ self._components.T).square().sum(-1)
        return (vectors.square().sum(-1) - explained).clamp_min(1e-6).sqrt().amin(1)


class AppearanceFilter(MeasuredFilter):
    """A measure of `Appearance`, held against limits.

    Args:
        least: Lowest value allowed.
        most: Highest value allowed.
        components: File of `Appearance`; None takes the one shipped.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self, least: float = -math.inf, most: float = math.inf, components: str | None = None
    ) -> None:
        super().__init__(least, most)
        self.components = components
        appearance(components)  # a missing file is named now, not in a worker

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {**super().describe(), "components_sha256": appearance(self.components).sha256}


class ChestLikeness(AppearanceFilter):
    """Rejects an image that looks like no frontal chest: a wrong crop, a lateral view, another modality.

    The measure is the share of the image that `Appearance` leaves unexplained.

    Args:
        most: Highest value allowed.
        components: See `Appearance`.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "no whole chest"

    def __init__(self, most: float = 0.64, components: str | None = None) -> None:
        super().__init__(most=most, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return the unexplained share of ``(batch, height, width)``."""
        return appearance(self.components).unexplained(views(images))


class Inversion(AppearanceFilter):
    """Rejects an image that looks more like a chest as a negative.

    The measure is what `Appearance` leaves unexplained of the negative, relative to the image as it is.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "inverted"

    def __init__(self, least: float = 0.92, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse the negative of ``(batch, height, width)`` is explained."""
        model, small = appearance(self.components), views(images)
        return model.unexplained(-small) / model.unexplained(small)


class Rotation(AppearanceFilter):
    """Rejects an image that looks more like a chest when turned by a quarter or a half.

    The measure is what `Appearance` leaves unexplained of the image turned the best way, relative to the
    image as it is.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "turned"

    def __init__(self, least: float = 0.88, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse ``(batch, height, width)`` is explained when turned the best way."""
        model, small = appearance(self.components), views(images)
        turned = torch.stack([model.unexplained(small.rot90(turns, (2, 3))) for turns in (1, 2, 3)])
        return turned.amin(0) / model.unexplained(small)


class Mirroring(AppearanceFilter):
    """Rejects an image that looks more like a chest in a mirror.

    The measure is what `Appearance` leaves unexplained of the mirror image, relative to the image as it is.
    The two differ little, and real radiographs are less alike than simulated ones. With the components
    shipped, learnt from simulated images alone, most mirrored real ones pass. Situs inversus does not.

    Args:
        least: Lowest value allowed.
        components: See `Appearance`.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "mirrored"

    def __init__(self, least: float = 0.89, components: str | None = None) -> None:
        super().__init__(least=least, components=components)

    def measure(self, images: Tensor) -> Tensor:
        """Return how much worse the mirror image of ``(batch, height, width)`` is explained."""
        model, small = appearance(self.components), views(images)
        return model.unexplained(small.flip(3)) / model.unexplained(small)


@lru_cache(maxsize=4)
def appearance(path: str | None = None) -> Appearance:
    """Return the model of a file, read once: several filters ask it."""
    return Appearance(path)


def views(images: Tensor) -> Tensor:
    """Shrink images, a little nearer or farther and off centre too, and even out their local contrast.

    Args:
        images: ``(batch, height, width)``.

    Returns:
        ``(batch, 27, 32, 32)``: three zooms, three places across and three down.
    """
    small = stretched(resized(images))[:, None]
    frames = torch.tensor([[[z, 0, x], [0, z, y]] for z in _ZOOMS for y in _SHIFTS for x in _SHIFTS])
    grid = F.affine_grid(frames, [len(frames), 1, CANONICAL, CANONICAL], align_corners=False)
    many = small.expand(-1, len(frames), -1, -1).flatten(0, 1)[:, None]
    framed = F.grid_sample(
        many, grid.repeat(len(images), 1, 1, 1), padding_mode="border", align_corners=False
    )
    return _evened(framed).unflatten(0, (len(images), len(frames)))[:, :, 0]


def learn(images: Tensor, components: int) -> dict[str, np.ndarray]:
    """Learn from images ``(batch, height, width)`` what `Appearance` reads."""
    vectors = _unit(_evened(stretched(resized(images))[:, None])[:, 0])
    mean = vectors.mean(0)
    directions = torch.linalg.svd(vectors - mean, full_matrices=False)[2][:components]
    return {"mean": mean.half().numpy(), "components": directions.half().numpy()}


def _evened(images: Tensor) -> Tensor:
    """Shrink images ``(batch, 1, 64, 64)`` by half and take local mean and deviation away."""
    small = F.avg_pool2d(images, CANONICAL // SIDE)
    rest = small - _local_mean(small)
    return rest / (_local_mean(rest * rest).sqrt() + 0.05)


def _unit(small: Tensor) -> Tensor:
    """Return small images as vectors without mean and of length 1."""
    vectors = small.flatten(-2)
    return F.normalize(vectors - vectors.mean(-1, keepdim=True), dim=-1)


def _local_mean(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, BLUR, 1, BLUR // 2, count_include_pad=False)
