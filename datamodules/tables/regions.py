"""Where findings are on real images: boxes and run-length codes of a table, as masks and as boxes.

A cell holds JSON: a list of ``{"label": …, "box": [x, y, width, height]}`` (pixels, from the top left corner)
or ``{"label": …, "runs": "…", "size": [height, width]}``. Runs are those of the SIIM challenge: pairs of
numbers, how many pixels to skip since the last run and how many to set, down the columns from left to right.
A box with a ``size`` is of an image of that size, and is scaled to the file. A region with a ``phrase`` is
where a report says that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datamodules.tables.bad_row import BadRow
from datamodules.tables.grey_values import MOST_PIXELS
from datamodules.tables.image_check import SeenImage
from datamodules.tables.image_file import Fit, framing, square

if TYPE_CHECKING:
    import pandas as pd

_Mask = npt.NDArray[np.bool_]
_EDGE = 1  # pixels by which boxes are beyond the edge where they were rounded
_SAME = 0.02  # by which the proportions of an image change where it is scaled to whole pixels


def bad_regions(
    cells: pd.Series[str], images: pd.Series[str], known: Callable[[str], bool] | None
) -> list[BadRow]:
    """Return the rows whose regions cannot be read, or are none.

    Args:
        cells: The column; an empty cell has no regions.
        images: Image of each row.
        known: Whether a label has a meaning; None accepts any.
    """
    rows = [int(row) for row in cells.index[cells != ""]]
    reasons = {row: _fault(cells[row], known) for row in rows}
    return [
        BadRow(row, images[row], str(cells.name), cells[row][:80], "bad regions", reason)
        for row, reason in reasons.items()
        if reason
    ]


def misplaced_regions(
    cells: pd.Series[str], images: pd.Series[str], seen: Mapping[int, SeenImage]
) -> list[BadRow]:
    """Return the rows that have regions beyond their image.

    A row is bad where a region lies outside entirely, or is drawn for another size; where a box sticks out,
    it is kept, and the box cut at the edge.

    Args:
        cells: The column; each can be read.
        images: Image of each row.
        seen: Row → what its image has shown.
    """
    found = []
    for row, image in seen.items():
        for region in json.loads(cells[row] or "[]"):
            reason, kept = _misplaced(region, *image.shape)
            if reason:
                kind = "region beyond the edge" if kept else "bad regions"
                found.append(BadRow(row, images[row], str(cells.name), str(region)[:80], kind, reason, kept))
                break
    return found


def _misplaced(region: Mapping[str, Any], height: int, width: int) -> tuple[str, bool]:
    """Return what is wrong with the place of a region, or "", and whether it can be used all the same."""
    size = f"the image has {width} × {height} pixels (width × height)"
    if "box" not in region:
        fits = list(region["size"]) == [height, width]
        return "" if fits else f"has runs for a size (height, width) of {region['size']}; {size}.", False
    x, y, w, h = region["box"]
    if "size" in region:
        drawn = region["size"]
        if abs(drawn[0] * width / (drawn[1] * height) - 1) > _SAME:
            return (
                f"has a box drawn on {drawn[1]} × {drawn[0]} pixels, which is no scaled form of the image: "
                f"{size}. Give the image that boxes were drawn on, uncropped.",
                False,
            )
        height, width = drawn
        size = f"it was drawn on {width} × {height} pixels (width × height)"
    if min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0):
        return f"has the box {region['box']} outside its image; {size}: correct it.", False
    beyond = x < -_EDGE or y < -_EDGE or x + w > width + _EDGE or y + h > height + _EDGE
    return (f"has the box {region['box']} beyond the edge; {size}: it is cut there." if beyond else ""), True


def region_masks(
    cell: str, concepts: Mapping[str, int], shape: tuple[int, int], image_size: int, fit: Fit
) -> tuple[Tensor, Tensor]:
    """Draw the regions of an image, those of a concept and phrase together, framed as the image is framed.

    Args:
        cell: The regions, as JSON.
        concepts: Label → position of its concept; regions with other labels are left out.
        shape: Height and width of the file, in pixels.
        image_size: Height and width of the masks.
        fit: How the image becomes a square.

    Returns:
        bool ``(concept, image_size, image_size)``, and int64 ``(concept,)``: which concepts these are. A
        pixel is set where at least half of what it stands for is.

    Raises:
        ValueError: If runs do not fit their size, or their size does not fit the file.
    """
    drawn: dict[tuple[int, str], _Mask] = {
        key: np.zeros(shape, bool) for key in named_phrases(cell, concepts)
    }
    for region in json.loads(cell or "[]"):
        if region["label"] in concepts:
            mask = drawn[concepts[region["label"]], region.get("phrase", "")]
            mask |= _box(_placed(region, shape), shape) if "box" in region else _runs(region, shape)
    framed = [square(mask.astype(np.float32), image_size, fit)[0] >= 128 for mask in drawn.values()]
    masks = torch.stack(framed) if framed else torch.zeros(0, image_size, image_size, dtype=torch.bool)
    return masks, torch.tensor([concept for concept, _ in drawn], dtype=torch.int64)


def named_phrases(cell: str, concepts: Mapping[str, int]) -> list[tuple[int, str]]:
    """Return concept and phrase ("" for none) of each mask of `region_masks`, in the same order.

    Args:
        cell: The regions, as JSON.
        concepts: Label → position of its concept.
    """
    regions = [region for region in json.loads(cell or "[]") if region["label"] in concepts]
    return list(dict.fromkeys((concepts[r["label"]], r.get("phrase", "")) for r in regions))


def region_boxes(
    cell: str, concepts: Mapping[str, int], shape: tuple[int, int], image_size: int, fit: Fit
) -> tuple[Tensor, Tensor]:
    """Return the box of each region of an image, framed as the image is framed.

    Regions that overlap, or are small beside another, keep a box of their own, which a mask of their concept
    could not tell. One that the frame cuts off entirely has none.

    Args:
        cell: See `region_masks`, like the others.
        concepts: Label → position of its concept.
        shape: Height and width of the file, in pixels.
        image_size: Height and width of the framed image.
        fit: How the image becomes a square.

    Returns:
        float32 ``(box, 4)``: centre x, centre y, width, height as shares of the framed image's sides; and
        int64 ``(box,)``, the concepts.

    Raises:
        ValueError: If runs do not fit their size, or their size does not fit the file.
    """
    scaled, before = framing(shape, image_size, fit)
    scale = np.divide(scaled, shape)[::-1]
    offset = np.array(before)[::-1]
    boxes, found = [], []
    for region in json.loads(cell or "[]"):
        if region["label"] in concepts:
            x, y, width, height = _placed(region, shape) if "box" in region else _extent(_runs(region, shape))
            corners = np.clip([(x, y), (x + width, y + height)], 0, shape[::-1])
            low, high = np.clip(corners * scale + offset, 0, image_size) / image_size
            if (high > low).all():
                boxes.append([*(low + high) / 2, *high - low])
                found.append(concepts[region["label"]])
    return torch.tensor(boxes).reshape(-1, 4).float(), torch.tensor(found, dtype=torch.int64)


def _extent(mask: _Mask) -> tuple[int, int, int, int]:
    """Return the box of a mask; one without extent if nothing is set."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0, 0, 0, 0
    x, y = int(columns.min()), int(rows.min())
    return x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y


def _placed(region: Mapping[str, Any], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the box of a region in pixels of the file."""
    x, y, width, height = region["box"]
    rows, columns = region.get("size", shape)
    across, down = shape[1] / columns, shape[0] / rows
    return x * across, y * down, width * across, height * down


def _box(box: Sequence[float], shape: tuple[int, int]) -> _Mask:
    x, y, width, height = box
    mask = np.zeros(shape, bool)
    mask[max(0, round(y)) : max(0, round(y + height)), max(0, round(x)) : max(0, round(x + width))] = True
    return mask


def _runs(region: Mapping[str, Any], shape: tuple[int, int]) -> _Mask:
    height, width = region["size"]
    if (height, width) != shape:
        raise ValueError(f"runs are for {height} × {width} pixels, the image has {shape[0]} × {shape[1]}.")
    numbers = np.array(region["runs"].split(), np.int64)
    if (numbers < 0).any():
        raise ValueError("runs hold negative numbers.")
    starts = np.cumsum(numbers)[::2]
    lengths = numbers[1::2]
    if len(starts) != len(lengths) or (starts + lengths > height * width).any():
        raise ValueError(f"runs do not fit into {height} × {width} pixels.")
    flat = np.zeros(height * width, bool)
    for start, length in zip(starts, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape(width, height).T


def _fault(cell: str, known: Callable[[str], bool] | None) -> str:
    """Return what is wrong with a cell, or ""."""
    try:
        regions = json.loads(cell)
        if not isinstance(regions, list):
            return f"is {type(regions).__name__} and no list of regions: see datamodules.tables.regions."
        for region in regions:
            if known is not None and not known(region["label"]):
                return f"has a region {region['label']!r}, which the vocabulary does not know; add it."
            if not isinstance(region.get("phrase", ""), str):
                return f"has the phrase {region['phrase']!r}, which is no text; correct it."
            if "box" in region:
                box = region["box"]
                if len(box) != 4 or any(type(n) not in (int, float) or not math.isfinite(n) for n in box):
                    return f"has a box that is no four finite numbers, {box}; correct it."
                if not (box[2] > 0 and box[3] > 0):
                    return f"has a box without extent, {box} (x, y, width, height: no corners); correct it."
                if min(map(int, region.get("size", (1, 1)))) < 1 or len(region.get("size", (1, 1))) != 2:
                    return f"has a box drawn on {region['size']} (height, width) pixels; correct it."
            else:
                height, width = map(int, region["size"])
                if not (0 < height * width <= MOST_PIXELS and _runs(region, (height, width)).any()):
                    return f"has runs that set no pixel of a size {region['size']}; correct it."
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"holds no regions as JSON ({type(error).__name__}: {error}): see datamodules.tables.regions."
    return ""
