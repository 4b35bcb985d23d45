"""Boxes of findings, from their masks."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes_of(mask: Tensor, least: float = 0.1) -> Tensor:
    """Frame the connected components of a mask.

    Args:
        mask: ``(height, width)`` bool.
        least: Share of the mask that a part has to hold to get a box of its own: the smaller ones are specks
            of a finding that is elsewhere.

    Returns:
        ``(boxes, 4)`` float32 on the mask's device: centre x, centre y, width, height as shares of the
        image's sides (what transformers' detectors are trained on); from top to bottom.
    """
    from scipy.ndimage import find_objects, label

    parts, _ = label(mask.cpu().numpy())
    height, width = mask.shape
    found = []
    for number, where in enumerate(find_objects(parts), 1):
        rows, columns = where
        if (parts[where] == number).sum() >= least * int(mask.sum()):
            centre = (columns.start + columns.stop) / 2 / width, (rows.start + rows.stop) / 2 / height
            size = (columns.stop - columns.start) / width, (rows.stop - rows.start) / height
            found.append([*centre, *size])
    return torch.tensor(found, device=mask.device).reshape(-1, 4)


def corners(boxes: Tensor) -> Tensor:
    """Turn centres and sizes ``(…, 4)`` into left, top, right, bottom."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)
