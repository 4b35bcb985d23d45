"""Where lungs, carina, domes and heart of a subject lie, and how it is brought into one frame.

Bodies, findings and devices are placed in millimetres of one frame, that of the reference subject. Every
other subject is stretched until its landmarks lie where the reference's do, so that zones, hila, domes and
the courses of devices are right on it too; what remains is its own: outlines, ribs, vessels, lobes, heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LUNG = 8.0  # mm of path from which a ray counts as through the lung
MAIN_BRONCHI = 40.0  # mm: a row of the trachea's map that is wider lies below the carina

USUAL_CARINA = 0.36  # of the way from apex to base


@dataclass(frozen=True)
class Landmarks:
    """Rows and columns in mm from the centre of a map; rows grow downwards, columns to the patient's left.

    Attributes:
        apex: First row of lung, mean of both sides.
        carina: Row at which the trachea has become two bronchi.
        dome: Row at which the right lung ends before the diaphragm: the steepest fall of its path.
        base: Last row of lung, mean of both sides.
        right, left: Lateral edges of the lungs.
        midline: Mean column of the spine.
        heart_column, heart_row: Centroid of the heart.
    """

    apex: float
    carina: float
    dome: float
    base: float
    right: float
    midline: float
    left: float
    heart_column: float
    heart_row: float


REFERENCE = Landmarks(
    apex=-138.75,
    carina=-42.75,
    dome=24.75,
    base=127.5,
    right=-126.75,
    midline=2.01,
    left=150.75,
    heart_column=38.82,
    heart_row=17.04,
)
"""Of the straight posteroanterior pose of the shipped atlas."""


def measure_landmarks(named: Mapping[str, Tensor], spacing: float) -> Landmarks:
    """Return the landmarks of a straight pose.

    Args:
        named: Maps (row, column) by their names in `MAP_NAMES`.
        spacing: mm a pixel.

    Raises:
        ValueError: A structure without which nothing can be placed is missing, or the lungs make no sense.
    """
    rows, columns = named["spine"].shape
    y = (torch.arange(rows) - rows / 2 + 0.5) * spacing
    x = (torch.arange(columns) - columns / 2 + 0.5) * spacing
    right = named["lobe_right_upper"] + named["lobe_right_middle"] + named["lobe_right_lower"]
    left = named["lobe_left_upper"] + named["lobe_left_lower"]
    parts = {"right lung": right, "left lung": left, "heart": named["heart"], "spine": named["spine"]}
    for name, part in parts.items():
        if float(part.amax()) <= 0:
            raise ValueError(f"its map of the {name} is empty")
    ends = []
    for name, lung in (("right", right), ("left", left)):
        filled = (lung > LUNG).any(dim=1).nonzero()[:, 0]
        if len(filled) < 2:
            raise ValueError(f"its {name} lung is nowhere deeper than {LUNG:g} mm")
        ends.append((float(y[filled[0]]), float(y[filled[-1]])))
    apex, base = ((ends[0][k] + ends[1][k]) / 2 for k in range(2))
    midline, heart_column, heart_row = (
        float((part * line).sum() / part.sum())
        for part, line in (
            (named["spine"].sum(0), x),
            (named["heart"].sum(0), x),
            (named["heart"].sum(1), y),
        )
    )
    lateral = ((right + left) > LUNG).any(dim=0).nonzero()[:, 0]
    carina = _carina(named["trachea"], y, spacing)
    share = USUAL_CARINA if carina is None else (carina - apex) / (base - apex)
    if abs(share - USUAL_CARINA) > 0.2:  # a trachea that was found roughly, or not at all
        share = USUAL_CARINA
    found = Landmarks(
        apex=apex,
        carina=apex + share * (base - apex),
        dome=_dome(right, y),
        base=base,
        right=float(x[lateral[0]]),
        midline=midline,
        left=float(x[lateral[-1]]),
        heart_column=heart_column,
        heart_row=heart_row,
    )
    for names in (("apex", "carina", "dome", "base"), ("right", "midline", "left")):
        places = [getattr(found, name) for name in names]
        if (np.diff(places) < 5).any():
            told = ", ".join(f"{name} {place:.0f} mm" for name, place in zip(names, places, strict=True))
            raise ValueError(f"its landmarks are out of order ({told}): is it upside down, or mislabelled?")
    return found


def _carina(trachea: Tensor, y: Tensor, spacing: float) -> float | None:
    inside = trachea > 3.0
    width = inside.sum(dim=1) * spacing
    wide = ((width > MAIN_BRONCHI) & (y < 60)).nonzero()[:, 0]
    return float(y[wide[0]]) if len(wide) else None


def _dome(lung: Tensor, y: Tensor) -> float:
    """Return the row of the steepest fall of the path, over the middle of the lung's width."""
    inside = (lung > LUNG).any(dim=0).nonzero()[:, 0]
    first, last = int(inside[0]), int(inside[-1])
    third = max(1, (last - first) // 4)
    path = lung[:, first + third : last - third + 1].mean(dim=1)
    smooth = F.avg_pool1d(path[None], 5, 1, 2, count_include_pad=False)[0]
    fall = smooth[:-1] - smooth[1:]
    fall[: int((smooth > LUNG).nonzero()[0, 0]) + len(y) // 6] = 0  # not the mediastinum's, above
    return float(y[int(fall.argmax())])


def aligned(maps: Tensor, own: Landmarks, spacing: float) -> Tensor:
    """Return maps (…, row, column) resampled so that `own` landmarks lie where the reference's do.

    Rows are stretched between apex, carina, dome and base, columns between the lungs' edges and the midline.
    Path lengths stay.
    """
    rows, columns = maps.shape[-2:]
    y = (np.arange(rows) - rows / 2 + 0.5) * spacing
    x = (np.arange(columns) - columns / 2 + 0.5) * spacing
    from_rows = _stretched(
        y, [(getattr(REFERENCE, n), getattr(own, n)) for n in ("apex", "carina", "dome", "base")]
    )
    from_columns = _stretched(
        x, [(getattr(REFERENCE, n), getattr(own, n)) for n in ("right", "midline", "left")]
    )
    down = torch.from_numpy(from_rows * 2 / (rows * spacing)).float()
    across = torch.from_numpy(from_columns * 2 / (columns * spacing)).float()
    grid = torch.stack([across.expand(rows, -1), down[:, None].expand(-1, columns)], dim=-1)[None]
    flat = maps.reshape(1, -1, rows, columns)
    return F.grid_sample(flat, grid, padding_mode="zeros", align_corners=False).view(maps.shape)


def _stretched(line: np.ndarray, knots: list[tuple[float, float]]) -> np.ndarray:
    """Return where points of the reference frame lie in a subject's own, linear between landmarks."""
    to, own = np.array(knots).T
    scale = (own[-1] - own[0]) / (to[-1] - to[0])
    beyond = 1000.0
    to = np.concatenate([[to[0] - beyond], to, [to[-1] + beyond]])
    own = np.concatenate([[own[0] - beyond * scale], own, [own[-1] + beyond * scale]])
    return np.interp(line, to, own)


def differ(one: Landmarks, other: Landmarks, tolerance: float) -> bool:
    """Return whether any landmark lies more than `tolerance` mm off."""
    return bool(np.abs(np.subtract(astuple(one), astuple(other))).max() > tolerance)
