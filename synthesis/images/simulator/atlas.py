"""The atlas: line-integral maps of the structures of a chest, from one or several CTs at several poses."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.files import replaced
from synthesis.images.simulator.landmarks import (
    REFERENCE,
    Landmarks,
    aligned,
    differ,
    measure_landmarks,
)

ATLAS_PATH = Path(__file__).with_name("atlas.npz")

MAP_NAMES = (
    "lobe_left_upper",
    "lobe_left_lower",
    "lobe_right_upper",
    "lobe_right_middle",
    "lobe_right_lower",
    "vessels",
    "heart",
    "aorta",
    "trachea",
    "ribs_posterior",
    "ribs_anterior",
    "sternum",
    "spine",
)
"""Maps of an atlas in order. Lobes, heart, aorta and trachea are path lengths in mm; vessels and bones are
excess over their surroundings in mm of water."""


@dataclass(frozen=True)
class Pose:
    """One projection of one subject.

    Attributes:
        view: "PA" or "AP".
        maps: (map, row, column) float32, in the order of `MAP_NAMES`, patient's right first, top first.
        lung_rows: (2 sides, 2) first and last lung row of the right and the left lung, in mm from the centre.
        lung_columns: (2 sides, row, 2) medial and lateral lung edge of every row, in mm from the midline.
        midline: Mean column of the spine, in mm from the centre.
        heart_offset: How far the subject's heart lies from the reference's, columns and rows in mm.
        source: Number of the atlas that it comes from, where several are joined.
        subject: Name of the subject within that atlas.
    """

    view: str
    maps: Tensor
    lung_rows: Tensor
    lung_columns: Tensor
    midline: float
    heart_offset: tuple[float, float] = (0.0, 0.0)
    source: int = 0
    subject: str = ""


@dataclass(frozen=True)
class Atlas:
    """All poses at one resolution.

    Attributes:
        poses: The projections.
        spacing: mm per atlas pixel.
        sha256: Hash of the file, for fingerprints; of several, joined by commas.
    """

    poses: tuple[Pose, ...]
    spacing: float
    sha256: str

    def of_view(self, view: str, source: int = 0) -> list[int]:
        """Return the numbers of the poses of a view ("PA" or "AP") that come from one atlas."""
        return [i for i, pose in enumerate(self.poses) if (pose.view, pose.source) == (view, source)]

    def like(self, pose: int) -> list[int]:
        """Return the numbers of the poses that show the same subject in the same view as one."""
        one = self.poses[pose]
        alike = (one.view, one.source, one.subject)
        return [i for i, p in enumerate(self.poses) if (p.view, p.source, p.subject) == alike]


def encode_atlas(path: Path, maps: np.ndarray, meta: str) -> None:
    """Write maps (pose, map, row, column) as 8-bit row differences, deflated.

    Smooth maps lose nothing visible to 8 bits (0.8 mm of lung at most), and differences of rows deflate to
    about half of what the values do.
    """
    scales = np.maximum(maps.max(axis=(0, 2, 3)), 1e-6)  # a structure may be missing
    levels = np.rint(maps / scales[None, :, None, None] * 255).astype(np.uint8)
    differences = np.diff(levels, axis=2, prepend=np.uint8(0))
    with replaced(path) as part, part.open("wb") as file:
        np.savez_compressed(file, differences=differences, scales=scales, meta=np.array(meta))


@functools.lru_cache(maxsize=16)
def load_atlas(path: Path = ATLAS_PATH, target_spacing: float = 1.5) -> Atlas:
    """Read an atlas file, averaged down to about the output's pixel size so that sampling does not alias.

    A subject whose landmarks are not the reference's is stretched to them.

    Args:
        path: File written by `scripts/simulator/build_atlas.py`.
        target_spacing: Wanted mm per atlas pixel; never finer than the file.

    Raises:
        FileNotFoundError: No such file; says how to build one.
        ValueError: It is no atlas, has other maps than this code, or lacks a view or a structure.
    """
    maps, meta = _read(path)
    spacing = float(meta["spacing_mm"])
    maps, offsets = _in_one_frame(path, maps, meta["poses"], spacing)
    if target_spacing > spacing:
        size = [max(8, round(n * spacing / target_spacing)) for n in maps.shape[2:]]
        rows = maps.shape[2]
        maps = F.interpolate(maps, size=size, mode="area")
        spacing = spacing * rows / size[0]
    poses = tuple(
        _pose(str(p["view"]), m, spacing, offset, str(p.get("subject", "")))
        for p, m, offset in zip(meta["poses"], maps, offsets, strict=True)
    )
    return Atlas(poses, spacing, hashlib.sha256(path.read_bytes()).hexdigest())


def _read(path: Path) -> tuple[Tensor, dict[str, Any]]:
    """Return the maps (pose, map, row, column) of a file and what it says of its poses."""
    if not path.exists():
        raise FileNotFoundError(f"atlas {path} is missing: run `make atlas`, or name another file")
    try:
        with np.load(path) as file:
            differences, scales, meta = file["differences"], file["scales"], json.loads(str(file["meta"]))
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"atlas={str(path)!r} is no atlas ({type(error).__name__}): give a file that `make atlas` wrote"
        ) from error
    if differences.shape[1] != len(MAP_NAMES):
        raise ValueError(
            f"atlas {path} holds {differences.shape[1]} maps, this code knows {len(MAP_NAMES)}: rebuild it"
        )
    if len(differences) != len(meta["poses"]):
        raise ValueError(
            f"atlas {path} holds maps of {len(differences)} poses but names {len(meta['poses'])}: rebuild it"
        )
    if missing := {"PA", "AP"} - {str(pose["view"]) for pose in meta["poses"]}:
        raise ValueError(
            f"atlas {path} has no pose of the view {min(missing)}: rebuild it with --poses=2 or more"
        )
    levels = np.cumsum(differences, axis=2, dtype=np.uint8)
    return torch.from_numpy(levels.astype(np.float32) / 255 * scales[None, :, None, None]), meta


def _in_one_frame(
    path: Path, maps: Tensor, poses: Sequence[Mapping[str, Any]], spacing: float
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Stretch every subject to the reference's landmarks; return maps, and how far off hearts remain."""
    subjects: dict[str, list[int]] = {}
    for i, pose in enumerate(poses):
        subjects.setdefault(str(pose.get("subject", "")), []).append(i)
    offsets = [(0.0, 0.0)] * len(poses)
    for subject, own in subjects.items():
        straight = min(own, key=lambda i: (poses[i]["view"] != "PA", abs(float(poses[i].get("yaw", 0)))))
        try:
            landmarks = _landmarks(maps[straight], spacing)
        except ValueError as error:
            raise ValueError(
                f"atlas {path}, subject {subject!r}: {error}; build it from a CT of the whole chest"
            ) from error
        if not differ(landmarks, REFERENCE, spacing):
            continue
        for i in own:
            maps[i] = aligned(maps[i], landmarks, spacing)
        now = _landmarks(maps[straight], spacing)
        for i in own:
            offsets[i] = (now.heart_column - REFERENCE.heart_column, now.heart_row - REFERENCE.heart_row)
    return maps, offsets


def _landmarks(maps: Tensor, spacing: float) -> Landmarks:
    return measure_landmarks(dict(zip(MAP_NAMES, maps, strict=True)), spacing)


def _pose(view: str, maps: Tensor, spacing: float, heart_offset: tuple[float, float], subject: str) -> Pose:
    named = dict(zip(MAP_NAMES, maps, strict=True))
    rows, columns = maps.shape[1:]
    y = (torch.arange(rows) - rows / 2 + 0.5) * spacing
    x = (torch.arange(columns) - columns / 2 + 0.5) * spacing
    midline = float((named["spine"].sum(0) * x).sum() / named["spine"].sum())
    right = named["lobe_right_upper"] + named["lobe_right_middle"] + named["lobe_right_lower"]
    left = named["lobe_left_upper"] + named["lobe_left_lower"]
    lung_rows, lung_columns = [], []
    for lung, sign in ((right, -1.0), (left, 1.0)):
        inside = lung > 8.0
        filled = inside.any(dim=1).nonzero()[:, 0]
        lung_rows.append(torch.stack([y[filled[0]], y[filled[-1]]]))
        offset = (x - midline) * sign
        medial = torch.where(inside, offset, torch.inf).amin(dim=1)
        lateral = torch.where(inside, offset, -torch.inf).amax(dim=1)
        # Rows above and below the lung take the nearest row that has lung.
        nearest = torch.arange(rows).clamp(int(filled[0]), int(filled[-1]))
        lung_columns.append(torch.stack([medial[nearest], lateral[nearest]], dim=1))
    edges = torch.stack(lung_rows), torch.stack(lung_columns)
    return Pose(view, maps, *edges, midline, heart_offset, subject=subject)
