"""Several atlases as one population: which files, how often each, and their maps on one grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from synthesis.images.simulator.atlas import ATLAS_PATH, Atlas, Pose, load_atlas
from synthesis.seeding import generator

AtlasFiles = str | Path | list[str] | dict[str, float] | None
"""An atlas file, a folder of them, a list of both, or a mapping of both to their weights."""


class AtlasMixture:
    """Atlases that patients are drawn from, each with a weight.

    Args:
        given: A file or folder, several, or a mapping to weights; the shipped atlas where it is None. The
            files of a folder share its weight.

    Raises:
        FileNotFoundError: A file or folder is missing, or a folder holds no atlas.
        ValueError: A weight is not positive, a file is named twice, or none is named.
    """

    def __init__(self, given: AtlasFiles = None) -> None:
        weights = _weights(given)
        self.paths: tuple[Path, ...] = tuple(weights)
        total = math.fsum(weights.values())
        self.shares: tuple[float, ...] = tuple(weight / total for weight in weights.values())
        self._ends = np.cumsum(self.shares)

    def load(self, target_spacing: float) -> Atlas:
        """Return the poses of all atlases on one grid, the finest that any has.

        Raises:
            ValueError: Their maps cover areas of different sizes.
        """
        atlases = [load_atlas(path, target_spacing) for path in self.paths]
        if len(atlases) == 1:
            return atlases[0]
        return _joined(dict(zip(self.paths, atlases, strict=True)))

    def choose(self, seed: int) -> int:
        """Return the number of the atlas that a patient comes from: a stream of its own."""
        if len(self.paths) == 1:
            return 0
        draw = float(generator(seed, "atlas").random())
        return min(int(np.searchsorted(self._ends, draw, side="right")), len(self.paths) - 1)

    def hashes(self, atlas: Atlas) -> str | dict[str, float]:
        """Return the hash of the one atlas, or the share of each by its hash."""
        if len(self.paths) == 1:
            return atlas.sha256
        return dict(zip(atlas.sha256.split(","), self.shares, strict=True))


def _weights(given: AtlasFiles) -> dict[Path, float]:
    if given is None:
        return {ATLAS_PATH: 1.0}
    if isinstance(given, str | Path):
        given = [str(given)]
    named: Mapping[str, float] = given if isinstance(given, Mapping) else dict.fromkeys(given, 1.0)
    if not named:
        raise ValueError("atlas is empty: name a file or a folder, or leave it out for the shipped one")
    if isinstance(given, Sequence) and len(named) < len(given):
        raise ValueError(
            f"atlas={list(given)} names a file twice: give a mapping with weights to draw it more often"
        )
    weights: dict[Path, float] = {}
    for name, weight in named.items():
        if isinstance(weight, bool) or not math.isfinite(weight) or weight <= 0:
            raise ValueError(f"atlas {name} has the weight {weight}: give a number above 0, or leave it out")
        files = _files(Path(name))
        for file in files:
            if file in weights:
                raise ValueError(f"atlas {file} is named twice, by itself and by a folder: name it once")
            weights[file] = float(weight) / (len(files) if len(named) > 1 else 1)
    return weights


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if not (files := sorted(path.glob("*.npz"))):
        raise FileNotFoundError(
            f"atlas folder {path} holds no .npz: run `make atlas`, or name another folder"
        )
    return files


def _joined(atlases: Mapping[Path, Atlas]) -> Atlas:
    """Return all poses on the grid of the finest atlas."""
    first, *others = atlases
    spans = {path: _span(atlas) for path, atlas in atlases.items()}
    for path in others:
        if not np.allclose(spans[path], spans[first], atol=3.0):
            sizes = ["{:.0f} by {:.0f} mm".format(*spans[p]) for p in (first, path)]
            raise ValueError(
                f"the maps of the atlases {first} and {path} are unequal: {sizes[0]} and {sizes[1]}; "
                "build both with the same version of `make atlas`"
            )
    finest = min(atlases.values(), key=lambda atlas: atlas.spacing)
    size = finest.poses[0].maps.shape[1:]
    poses: list[Pose] = []
    for source, atlas in enumerate(atlases.values()):
        for pose in atlas.poses:
            if pose.maps.shape[1:] == size:
                poses.append(replace(pose, source=source))
                continue
            maps = F.interpolate(pose.maps[None], size=size, mode="bilinear", align_corners=False)[0]
            columns = F.interpolate(pose.lung_columns.transpose(1, 2), size=size[0], mode="nearest")
            poses.append(replace(pose, source=source, maps=maps, lung_columns=columns.transpose(1, 2)))
    hashes = [atlas.sha256 for atlas in atlases.values()]
    if len(set(hashes)) < len(hashes):
        again = next(path for path, a in atlases.items() if hashes.count(a.sha256) > 1)
        raise ValueError(f"atlas {again} is there twice under two names: name it once, with a weight")
    return Atlas(tuple(poses), finest.spacing, ",".join(hashes))


def _span(atlas: Atlas) -> tuple[float, float]:
    rows, columns = atlas.poses[0].maps.shape[1:]
    return rows * atlas.spacing, columns * atlas.spacing
