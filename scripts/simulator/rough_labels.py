"""Labels by thresholds and connected components, for a CT that comes without any.

Rough: lobes are cut by planes, the heart is what fills the space between the lungs, ribs are the bone around
them. Enough to draw a chest that looks like this patient's; no segmentation to measure anything by.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scripts.simulator.ct_volume import Array, CtError, CtVolume
from scripts.simulator.label_map import LOBES, TURNED, LabelMap

NAMES = (*LOBES, "trachea", "heart", "rib_left_1", "rib_right_1", "sternum", "vertebrae_T1")
BONE = 180.0  # HU
AIRY = -500.0  # HU, below which lung and airways are
STEP = 2.2  # mm: components are sought on a grid no finer than this


def rough_labels(ct: CtVolume) -> LabelMap:
    """Return lobes, trachea, heart, ribs, sternum and spine of a chest.

    Raises:
        CtError: No two lungs are found; names the CT and the remedy.
    """
    every = tuple(max(1, round(STEP / s)) for s in ct.spacing)
    values = ct.hounsfield[:: every[0], :: every[1], :: every[2]]
    spacing = ct.spacing * every
    trachea, right, left = _airways(values, spacing, ct)
    lungs = right | left
    places = np.where(lungs)
    middle = 0.5 * (np.where(right)[0].mean() + np.where(left)[0].mean())
    front, back = np.percentile(places[1], [98, 2])
    x, y, _ = (
        np.arange(n).reshape([-1 if k == a else 1 for k in range(3)]) for a, n in enumerate(values.shape)
    )
    beside = np.abs(x - middle) * spacing[0]
    depth = (y - back) / max(front - back, 1)
    bone = ndimage.binary_closing(values > BONE, iterations=1)
    central = bone & (beside < 38)
    if (central & (depth < 0.3)).sum() < (central & (depth > 0.7)).sum():
        raise CtError(f"{ct.path}: the spine lies in front of the lungs: {TURNED}")
    spine = _largest(central & (depth < 0.3))
    between = _between(lungs) & ~lungs & ~spine & ~trachea
    heart = _heart(between & (values > -50) & (beside < 110), places[2], depth, spacing)
    near = ndimage.distance_transform_edt(~lungs, sampling=spacing) < 22
    sternum = bone & (beside < 28) & (depth > 0.72) & near & ~spine
    ribs = bone & near & ~spine & ~sternum & ~heart & ~(_between(lungs) & (beside < 60))
    labels = np.zeros(values.shape, dtype=np.int16)
    ids = {name: number for number, name in enumerate(NAMES, start=1)}
    for lung, side in ((right, "right"), (left, "left")):
        for name, part in split_lobes(lung, side).items():
            labels[part] = ids[name]
    for name, part in (
        ("trachea", trachea),
        ("heart", heart),
        ("rib_right_1", ribs & (x < middle)),
        ("rib_left_1", ribs & (x >= middle)),
        ("sternum", sternum),
        ("vertebrae_T1", spine),
    ):
        labels[part] = ids[name]
    if not all(
        (labels == ids[name]).any() for name in ("heart", "rib_left_1", "rib_right_1", "vertebrae_T1")
    ):
        raise CtError(
            f"{ct.path}: heart, ribs or spine cannot be told apart by thresholds; segment it "
            "(TotalSegmentator, "
            "task total) and give --segmentation"
        )
    whole = labels
    for axis, n in enumerate(every):
        whole = np.repeat(whole, n, axis=axis)
    whole = whole[tuple(slice(0, n) for n in ct.hounsfield.shape)]
    return LabelMap(None, np.ascontiguousarray(whole), ids)


def split_lobes(lung: Array, side: str) -> dict[str, Array]:
    """Cut a lung by the planes of textbooks: an oblique fissure, on the right a horizontal one."""
    _, y, z = (
        np.arange(n).reshape([-1 if k == a else 1 for k in range(3)]) for a, n in enumerate(lung.shape)
    )
    places = np.where(lung)
    (back, front), (low, high) = (np.percentile(places[k], [1, 99]) for k in (1, 2))
    depth, height = (y - back) / max(front - back, 1), (z - low) / max(high - low, 1)
    # From a third below the apex behind to the diaphragm in front.
    below = height < 0.68 - 0.66 * depth
    lower = lung & below
    if side == "left":
        return {"lung_upper_lobe_left": lung & ~below, "lung_lower_lobe_left": lower}
    middle = lung & ~below & (height < 0.48)
    return {
        "lung_upper_lobe_right": lung & ~below & ~middle,
        "lung_middle_lobe_right": middle,
        "lung_lower_lobe_right": lower,
    }


def _airways(values: Array, spacing: Array, ct: CtVolume) -> tuple[Array, Array, Array]:
    """Return trachea, right and left lung. Gaps in the chest wall are closed until it holds whole lungs."""
    # A CT that was windowed shows fat as black as air: what is thin is not lung.
    fat = float(((values > -250) & (values < -20)).sum())
    fat_is_seen = fat > 0.05 * float((values > -20).sum())
    least = 4.0 if fat_is_seen else 11.0
    found = []
    for gap in (0.0, 10.0, 20.0, 30.0):
        airways = (values < AIRY) & _body(values, spacing, gap, fat_is_seen)
        trachea = _trachea(airways, spacing)
        if lungs := _lungs(airways & ~_grown(trachea, 3.0, spacing), spacing, least):
            found.append((trachea, *lungs))
        if found and fat_is_seen:
            return found[0]
    if not found:
        raise CtError(
            f"{ct.path}: no two lungs are found (connected air of a quarter litre, enclosed by the body); is "
            "this an upright CT of the chest in Hounsfield units? Otherwise segment it and give "
            "--segmentation"
        )
    sizes = [int(right.sum() + left.sum()) for _, right, left in found]
    return next(one for one, size in zip(found, sizes, strict=True) if size > 0.93 * max(sizes))


def _body(values: Array, spacing: Array, gap: float, fat_is_seen: bool) -> Array:
    """Return the body with all that it encloses, slice by slice; the table is cut off."""
    flat = ndimage.generate_binary_structure(3, 1)
    flat[:, :, [0, 2]] = False  # slices may be as thick as the chest wall
    solid = values > -300
    if fat_is_seen:  # else only skin and muscle are, which are thin
        solid = ndimage.binary_opening(solid, flat, iterations=max(1, round(4 / float(spacing[0]))))
    solid = _largest(solid)
    filled = np.zeros_like(solid)
    for k in range(solid.shape[2]):
        plane = _closed_at_edges(solid[:, :, k])
        if gap > 0 and plane.any():
            grown = np.pad(_grown(plane, gap, spacing[:2]), 1)
            plane = _inset(grown, gap, spacing[:2])[1:-1, 1:-1] | plane
        filled[:, :, k] = ndimage.binary_fill_holes(plane)
    return filled


def _closed_at_edges(plane: Array) -> Array:
    """Join the ends of a body along the edges of the picture that cut it."""
    closed = plane.copy()
    for edge in (closed[0], closed[-1], closed[:, 0], closed[:, -1]):
        there = np.where(edge)[0]
        if len(there) > 1:
            edge[there[0] : there[-1] + 1] = True
    return closed


def _trachea(airways: Array, spacing: Array) -> Array:
    """Follow the trachea down from the highest slice in which it is alone, until it has joined the lungs."""
    area = float(spacing[0] * spacing[1])
    found = np.zeros_like(airways)
    inside = None
    centre = airways.shape[0] / 2
    for k in range(airways.shape[2] - 1, -1, -1):
        pieces, count = ndimage.label(airways[:, :, k])
        sizes = ndimage.sum_labels(airways[:, :, k], pieces, range(1, count + 1)) * area
        if inside is None:
            fit = [
                n + 1
                for n, size in enumerate(sizes)
                if 60 < size < 700 and _before_spine(pieces == n + 1, airways[:, :, k], centre, spacing)
            ]
        else:
            touching = set(np.unique(pieces[inside])) - {0}
            fit = [n for n in touching if sizes[n - 1] < 900]
            if not fit:
                break
        if fit:
            inside = np.isin(pieces, fit)
            found[:, :, k] = inside
    return found


def _before_spine(piece: Array, plane: Array, centre: float, spacing: Array) -> bool:
    """Return whether a piece of a slice lies where a trachea does."""
    x, y = np.where(piece)
    ends = np.where(plane)[1]
    depth = (y.mean() - ends.min()) / max(int(np.ptp(ends)), 1)
    return bool(abs(x.mean() - centre) * spacing[0] < 45 and 0.3 < depth < 0.9)


def _lungs(air: Array, spacing: Array, least: float) -> tuple[Array, Array] | None:
    """Return the right and the left lung, vessels included; None where there are no two.

    Args:
        air: Where it is as dark as lung, without the trachea.
        spacing: Voxel size in mm.
        least: Depth in mm that something must have to be lung.
    """
    core = _inset(air, least, spacing)
    pieces, count = ndimage.label(core)
    sizes = ndimage.sum_labels(core, pieces, range(1, count + 1))
    order = np.argsort(sizes)[::-1]
    litre = 1e6 / float(np.prod(spacing))
    large = [int(n) + 1 for n in order[:2] if sizes[n] > 0.08 * litre]
    if not large:
        return None
    # Joined or apart, they are told apart by the column with the least lung between the two.
    lungs = air & _grown(np.isin(pieces, large), least + 1.5, spacing)
    columns = lungs.sum(axis=(1, 2)).astype(float)
    places = np.where(columns)[0]
    third = max(1, (places[-1] - places[0]) // 3)
    valley = columns[places[0] + third : places[-1] - third + 1]
    cut = places[0] + third + int(valley.argmin())
    first = np.arange(lungs.shape[0])[:, None, None] <= cut
    right, left = _filled(lungs & first, spacing), _filled(lungs & ~first, spacing)
    if min(right.sum(), left.sum()) < 0.2 * litre:
        return None
    return right, left & ~right


def _filled(lung: Array, spacing: Array) -> Array:
    """Close vessels and small consolidations into a lung."""
    grown = _grown(lung, 9.0, spacing)
    return _inset(grown, 9.0, spacing)


def _grown(mask: Array, by: float, spacing: Array) -> Array:
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= by


def _between(lungs: Array) -> Array:
    """Return what has lung on both sides of it in its row, or on one side and is enclosed in its column."""
    from_right = np.maximum.accumulate(lungs, axis=0)
    from_left = np.maximum.accumulate(lungs[::-1], axis=0)[::-1]
    return from_right & from_left


def _heart(between: Array, levels: Array, depth: Array, spacing: Array) -> Array:
    """Return a rounded body: the largest soft one between the lungs, in the lower half of their height."""
    z = np.arange(between.shape[2])
    low, high = np.percentile(levels, [6, 58])
    space = between & (z > low) & (z < high) & (depth > 0.3) & (depth < 0.97)
    found = _largest(_inset(space, 8.0, spacing))
    if not found.any():
        return space
    points = np.stack(np.where(found)) * spacing[:, None]
    centre, spread = points.mean(axis=1), np.cov(points)
    every = np.stack(np.where(space)) * spacing[:, None] - centre[:, None]
    # A solid ellipsoid has a fifth of its squared half axes as variance; 8 mm went before.
    inside = np.einsum("in,ij,jn->n", every, np.linalg.inv(5 * spread), every) < 1.5
    heart = np.zeros_like(space)
    heart[space] = inside
    return heart


def _inset(mask: Array, by: float, spacing: Array) -> Array:
    return ndimage.distance_transform_edt(mask, sampling=spacing) > by


def _largest(mask: Array) -> Array:
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
    return pieces == int(np.argmax(sizes)) + 1
