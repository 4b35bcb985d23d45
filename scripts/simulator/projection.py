"""From a labelled CT to line-integral maps: structures as volumes, poses, perspective projection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from scripts.simulator.ct_volume import Array, CtVolume
from scripts.simulator.label_map import LabelMap
from synthesis.images.simulator.atlas import MAP_NAMES

Pose = dict[str, float | str]
"""`view` ("PA" or "AP"), `yaw` and `pitch` in degrees."""

SPACING = 1.5  # mm, of the resampled volume and of the maps of the shipped atlas
EXTENT = (336.0, 360.0)  # mm, rows (superior to inferior) and columns (right to left) of a map
DEPTH = 300.0  # mm, posterior to anterior
LOBES = {
    "lobe_left_upper": ["lung_upper_lobe_left"],
    "lobe_left_lower": ["lung_lower_lobe_left"],
    "lobe_right_upper": ["lung_upper_lobe_right"],
    "lobe_right_middle": ["lung_middle_lobe_right"],
    "lobe_right_lower": ["lung_lower_lobe_right"],
}
# Source distances of common practice: 1.8 m upright posteroanterior, about 1 m bedside anteroposterior.
SOURCE_DISTANCE = {"PA": 1800.0, "AP": 1050.0}


def poses(count: int, seed: int = 0) -> list[Pose]:
    """Return `count` small poses, half of them PA: yaw (rotated patient), pitch (lordotic or kyphotic)."""
    rng = np.random.default_rng(seed)
    chosen: list[Pose] = []
    for i in range(count):
        view = "PA" if i % 2 == 0 else "AP"
        spread = 1.0 if i >= 2 else 0.0  # the first of each view is straight
        yaw_limit, pitch_limit = (5.0, 7.0) if view == "PA" else (8.0, 11.0)
        chosen.append(
            {
                "view": view,
                "yaw": float(spread * rng.uniform(-yaw_limit, yaw_limit)),
                "pitch": float(spread * rng.uniform(-pitch_limit, pitch_limit)),
            }
        )
    return chosen


def structure_volumes(hounsfield: Array, labels: LabelMap) -> Array:
    """Return one volume a map, (maps, x, y, z): what a mm of path through a voxel adds to the map."""
    # Bone as excess over water; beyond 700 HU it is metal or dense contrast agent.
    bone = np.clip(hounsfield, 0, 700) / 1000
    lungs = labels.starting("lung_")
    ribs = labels.starting("rib_")
    # The front third of the ribcage is displaced independently of its back.
    anterior = np.zeros_like(ribs)
    back, front = np.where(lungs.any(axis=(0, 2)))[0][[0, -1]]
    anterior[:, back + int(0.52 * (front - back)) :, :] = True
    # The CT may have contrast agent: vessels are clipped to about water.
    vessels = lungs * np.clip(hounsfield + 720, 0, 760) / 1000
    volumes = {name: labels.mask(*parts) for name, parts in LOBES.items()} | {
        "vessels": vessels,
        "heart": labels.mask("heart", "atrial_appendage_left", "pulmonary_vein"),
        "aorta": labels.mask("aorta"),
        "trachea": labels.mask("trachea"),
        "ribs_posterior": bone * (ribs & ~anterior),
        "ribs_anterior": bone * (ribs & anterior),
        "sternum": bone * labels.mask("sternum") + 0.6 * bone * labels.mask("costal_cartilages"),
        "spine": bone * labels.starting("vertebrae_"),
    }
    return np.stack([volumes[name].astype(np.float32) for name in MAP_NAMES])


def project(
    volumes: torch.Tensor, voxel: Array, centre: Array, pose: Pose, spacing: float = SPACING
) -> torch.Tensor:
    """Return line integrals in mm, (maps, rows, columns), of one pose with perspective.

    Args:
        volumes: (maps, x right→left, y posterior→anterior, z inferior→superior).
        voxel: Voxel size in mm, (3,).
        centre: Voxel index of the point that stays in the middle of the picture, (3,).
        pose: `view`, `yaw`, `pitch` in degrees.
        spacing: mm per pixel of the maps and between the planes that are added up.
    """
    rows, columns, depth = (round(length / spacing) for length in (*EXTENT, DEPTH))
    distance = SOURCE_DISTANCE[str(pose["view"])]
    y = (torch.arange(depth) - depth / 2 + 0.5) * spacing
    # PA: the film touches the chest, the back is magnified; AP: the reverse.
    to_film = (y.max() - y + 30) if pose["view"] == "PA" else (y - y.min() + 60)
    shrink = ((distance - to_film) / distance)[:, None, None]  # film millimetres to millimetres in the plane
    z = -(torch.arange(rows) - rows / 2 + 0.5)[None, :, None] * spacing * shrink
    x = (torch.arange(columns) - columns / 2 + 0.5)[None, None, :] * spacing * shrink
    y3 = y[:, None, None].expand(depth, rows, columns)
    x3, z3 = x.expand_as(y3), z.expand_as(y3)
    yaw, pitch = np.deg2rad(float(pose["yaw"])), np.deg2rad(float(pose["pitch"]))
    x3, y3 = x3 * np.cos(yaw) - y3 * np.sin(yaw), x3 * np.sin(yaw) + y3 * np.cos(yaw)
    y3, z3 = y3 * np.cos(pitch) - z3 * np.sin(pitch), y3 * np.sin(pitch) + z3 * np.cos(pitch)
    index = [c / s + o for c, s, o in zip((x3, y3, z3), voxel, centre, strict=True)]
    size = volumes.shape[1:]
    grid = torch.stack([2 * index[k] / (size[k] - 1) - 1 for k in (2, 1, 0)], dim=-1)[None]
    maps = [
        F.grid_sample(volume[None, None], grid, align_corners=True)[0, 0].sum(dim=0) * spacing
        for volume in volumes
    ]
    return torch.stack(maps)


def subject_maps(
    ct: CtVolume, labels: LabelMap, chosen: list[Pose], spacing: float = SPACING
) -> Iterator[torch.Tensor]:
    """Yield the maps of one CT, one pose after the other."""
    lungs = labels.starting("lung_")
    where = [np.where(lungs.any(axis=tuple(a for a in range(3) if a != k)))[0] for k in range(3)]
    spine = np.where(labels.starting("vertebrae_T"))
    centre = np.array([spine[0].mean(), (where[1][0] + where[1][-1]) / 2, (where[2][0] + where[2][-1]) / 2])
    volumes = torch.from_numpy(structure_volumes(ct.hounsfield, labels))
    for pose in chosen:
        yield project(volumes, ct.spacing, centre, pose, spacing)
