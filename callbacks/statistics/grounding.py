"""How similarity maps lie on masks, and what a fixed point for each concept is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from callbacks.statistics.intervals import Array


def similarity_map(patches: Tensor, phrase: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the likeness of every pixel to a phrase, ``(height, width)`` float32.

    Args:
        patches: ``(rows, columns, projection)``.
        phrase: ``(projection,)``.
        size: Height and width.
    """
    coarse = (patches @ phrase.to(patches)).float()
    return F.interpolate(coarse[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return coarse maps ``(…, rows, columns)`` of one image at its size, ``(…, height, width)``."""
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def agreement(map_: Tensor, mask: Tensor, thresholds: Sequence[float]) -> tuple[float, float, float, float]:
    """Return pointing, pointing chance, IoU and CNR of a map on a mask, as `PhraseGrounding` has them.

    Args:
        map_: ``(height, width)``, higher is more alike.
        mask: ``(height, width)`` bool, neither empty nor full.
        thresholds: Of the map scaled to [0, 1].
    """
    pointing = bool(mask.flatten()[map_.flatten().argmax()])
    scaled = (map_ - map_.min()) / (map_.max() - map_.min()).clamp_min(1e-12)
    cut = scaled >= map_.new_tensor(thresholds)[:, None, None]
    iou = (cut & mask).sum((1, 2)) / (cut | mask).sum((1, 2))
    inside, outside = map_[mask].double(), map_[~mask].double()
    noise = (inside.var(correction=0) + outside.var(correction=0)).sqrt().clamp_min(1e-12)
    cnr = (inside.mean() - outside.mean()) / noise
    return float(pointing), float(mask.float().mean()), float(iou.mean()), float(cnr)


def location_prior(packed: np.ndarray, size: tuple[int, int], concept: np.ndarray, fold: np.ndarray) -> Array:
    """Point at each finding where masks of its concept in the other folds overlap most.

    Args:
        packed: The masks, each pixel by pixel, eight a byte (`numpy.packbits`): ``(n, bytes)``.
        size: Their height and width.
        concept: The finding that each mask is of, ``(n,)``.
        fold: Fold of each, ``(n,)``; the samples of a patient are in one.

    Returns:
        ``(n,)``: 1 if the point is in the mask, 0 if not, NaN where no other fold has the concept.
    """
    from scipy.ndimage import uniform_filter

    hits = np.full(len(packed), np.nan)
    for c in np.unique(concept):
        rows = np.flatnonzero(concept == c)
        masks = np.unpackbits(packed[rows], axis=1, count=size[0] * size[1]).reshape(-1, *size)
        for k in np.unique(fold[rows]):
            others = masks[fold[rows] != k].sum(0, dtype=np.float64)
            if not others.any():
                continue
            # Many pixels may be as good: of these the one in the middle of the others.
            others += 0.5 * uniform_filter(others, max(3, len(others) // 8)) / others.max()
            row, column = np.unravel_index(int(others.argmax()), others.shape)
            own = fold[rows] == k
            hits[rows[own]] = masks[own, row, column]
    return hits
