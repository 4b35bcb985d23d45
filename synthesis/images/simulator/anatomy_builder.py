"""From patients to line integrals of healthy chests: the atlas sampled through each patient's geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.atlas import MAP_NAMES, Atlas
from synthesis.images.simulator.body import soft_tissue
from synthesis.images.simulator.girdle import girdle_maps
from synthesis.images.simulator.patient import CONTROL_POINTS, ParameterReader, Patient, parameter_reader

STILL = ("lobe_left_upper", "lobe_left_lower", "lobe_right_upper", "lobe_right_middle", "lobe_right_lower",
         "vessels", "trachea", "sternum", "heart")  # fmt: skip
"""Maps that share the body's own geometry; ribs, heart, spine and girdle each have one of their own."""

LOBES = 5  # the first maps of `STILL`
RIGHT, LEFT = 0, 1
HEART_CENTRE = (30.0, 27.0)  # mm in the atlas frame
GIRDLE_GAIN = 2.8  # mm of water in a mm of drawn bone: collar bones stand out as on films


class AnatomyBuilder:
    """Samples an atlas for batches of patients.

    Args:
        atlas: At about the output's resolution.
        image_size: Height and width of the output in pixels.
        device: Where the maps live.
    """

    def __init__(self, atlas: Atlas, image_size: int, device: torch.device) -> None:
        self.atlas, self.size, self.device = atlas, image_size, device
        line = (torch.arange(image_size, device=device) + 0.5) / image_size * 2 - 1
        self.row, self.column = line[None, :, None], line[None, None, :]
        knots = torch.linspace(-1, 1, CONTROL_POINTS, device=device)
        weights = torch.exp(-(((line[:, None] - knots) / (2 / (CONTROL_POINTS - 1))) ** 2))
        self.basis = weights / weights.sum(dim=1, keepdim=True)
        pixel = torch.arange(image_size, device=device)[:, None]
        knot = torch.arange(0, image_size, 2, device=device)
        last = knot[-1:]  # an even number of pixels ends beyond the last knot, which is repeated
        self.between = (1 - (pixel.clamp(max=last) - knot).abs() / 2).clamp(min=0)
        poses = torch.stack([pose.maps for pose in atlas.poses]).to(device)
        self.still, self.posterior_ribs, self.anterior_ribs, self.hearts, spines = (
            poses[:, [MAP_NAMES.index(name) for name in names]].half()
            for names in (STILL, ("ribs_posterior",), ("ribs_anterior",), ("heart",), ("spine",))
        )
        # The neck and the upper abdomen continue the spine of the CT by its mirror image.
        self.spines = F.pad(spines.float(), (0, 0, 60, 60), mode="reflect").half()
        self.girdles = girdle_maps(atlas.spacing).to(device)[:, None].half()
        self.lung_rows = torch.stack([pose.lung_rows for pose in atlas.poses]).to(device)
        self.midlines = torch.tensor([pose.midline for pose in atlas.poses], device=device)
        self.lung_columns = torch.stack([pose.lung_columns for pose in atlas.poses]).to(device)

    def build(self, patients: Sequence[Patient]) -> list[Anatomy]:
        """Return the healthy anatomy of every patient; one batched pass over the maps."""
        each = parameter_reader(patients, self.device)
        poses = [p.pose for p in patients]
        x, y = self._frame(patients, each)
        still = self._sample(_of(self.still, poses), x, y)
        lobes, (vessels, trachea, sternum, before) = still[:, :LOBES], still[:, LOBES:].unbind(1)
        lungs = lobes.sum(dim=1)
        ribs = self._ribs(poses, x, y, each) * each("rib_gain")
        spine = self.spine(poses, x, y) * each("spine_gain")
        girdle = self._sample(
            _of(self.girdles, [p.girdle for p in patients]),
            x - each("girdle_shift", 0) * torch.sign(x),
            y - each("girdle_shift", 1),
        )[:, 0]
        heart = self.heart(poses, x, y, each, each("heart_scale", 0), each("heart_scale", 1))
        u, v, left, from_hilum = self._lung_coordinates(poses, x, y)
        kept = self._make_room(lungs, heart - before, from_hilum, each("mediastinum"))
        lobes = lobes * kept[:, None]
        lungs = lobes.sum(dim=1)
        vessels = 7 * torch.tanh(vessels / 7) * kept * each("vessel_gain")
        # Flesh and gas are smooth: a quarter of the pixels tells all.
        coarse = x[:, ::2, ::2].contiguous(), y[:, ::2, ::2].contiguous()
        tissue = self._refined(soft_tissue(*coarse, each))
        gas = self._refined(self._bowel_gas(patients, *coarse))
        base = tissue - lungs * (1 - each("lung_density")) - 0.8 * trachea - gas
        base = (base + vessels + ribs + spine + GIRDLE_GAIN * girdle + 1.2 * sternum + 0.06 * heart).clamp(
            min=0
        )
        mm = [p.field / self.size for p in patients]
        maps = {"x": x, "y": y, "u": u, "v": v, "left": left, "lobes": lobes, "lungs": lungs}
        maps |= {"vessels": vessels, "heart": heart, "spine": spine, "ribs": ribs, "girdle": girdle}
        maps |= {"trachea": trachea, "tissue": tissue, "base": base}
        return [
            Anatomy(p, p.pose, mm=mm[i], builder=self, **{name: m[i] for name, m in maps.items()})
            for i, p in enumerate(patients)
        ]

    def _refined(self, coarse: Tensor) -> Tensor:
        """Interpolate a map that was computed at every other pixel."""
        return self.between @ coarse @ self.between.T

    def _frame(self, patients: Sequence[Patient], each: ParameterReader) -> tuple[Tensor, Tensor]:
        """Return where in the atlas frame every output pixel looks, x and y in mm."""
        x, y = self._rigid(each, self.column, self.row)
        warp = torch.tensor(np.stack([p.warp for p in patients]), dtype=torch.float32, device=self.device)
        displaced = self.basis @ warp @ self.basis.T
        return self._anatomical(each, x + displaced[:, 0], y + displaced[:, 1])

    @staticmethod
    def _rigid(each: ParameterReader, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        turn = each("rotation") * (np.pi / 180)
        half = each("field") / 2
        x = half * (column * torch.cos(turn) - row * torch.sin(turn)) + each("centre", 0)
        y = half * (column * torch.sin(turn) + row * torch.cos(turn)) + each("centre", 1)
        return x / each("scale", 0), y / each("scale", 1)

    @staticmethod
    def _anatomical(each: ParameterReader, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Shape the lungs: apex and base wider or narrower, each hemidiaphragm higher or lower."""
        x = x / (
            1
            + each("apex_width") * torch.sigmoid((-60 - y) / 30)
            + each("base_width") * torch.sigmoid((y - 40) / 30)
        )
        below = torch.sigmoid((y - 20) / 22)
        leftness = torch.sigmoid(x / 15)
        drop = each("diaphragm", 0) * (1 - leftness) + each("diaphragm", 1) * leftness
        return x, y - drop * below * torch.exp(-(((y - 80) / 110) ** 2))

    def _sample(self, maps: Tensor, x: Tensor, y: Tensor, spacing: float | None = None) -> Tensor:
        """Sample maps (batch, map, row, column) about the origin at x, y (batch, height, width) in mm."""
        rows, columns = maps.shape[2:]
        half = (spacing or self.atlas.spacing) / 2
        # Pairs of (x, y) as complex numbers: interleaving them by torch.stack takes six times as long.
        grid = torch.view_as_real(torch.complex(x / (columns * half), y / (rows * half)))
        return F.grid_sample(maps, grid, align_corners=False)

    def _ribs(self, poses: Sequence[int], x: Tensor, y: Tensor, each: ParameterReader) -> Tensor:
        """Draw back and front of the ribcage, each steeper or flatter, higher or lower by itself."""
        total = torch.zeros_like(x)
        for part, ribs in enumerate((self.posterior_ribs, self.anterior_ribs)):
            slope = each("rib_slope", part) * torch.sqrt(x * x + 400) * (1 if part == 0 else -1)
            shifted = (y + slope) * each("rib_spread") + each("rib_shift", part)
            total += self._sample(_of(ribs, poses), x, shifted)[:, 0]
        return total

    def spine(self, poses: Sequence[int], x: Tensor, y: Tensor) -> Tensor:
        """Sample the spine, (batch, height, width)."""
        return self._sample(_of(self.spines, poses), x, y)[:, 0]

    def heart(
        self,
        poses: Sequence[int],
        x: Tensor,
        y: Tensor,
        each: ParameterReader,
        width: Tensor | float,
        height: Tensor | float,
    ) -> Tensor:
        """Sample the heart scaled about its centre, shifted and turned as the patient's is."""
        turn = each("heart_turn") * (np.pi / 180)
        dx, dy = x - HEART_CENTRE[0] - each("heart_shift", 0), y - HEART_CENTRE[1] - each("heart_shift", 1)
        dx, dy = dx * torch.cos(turn) - dy * torch.sin(turn), dx * torch.sin(turn) + dy * torch.cos(turn)
        return self._sample(
            _of(self.hearts, poses),
            dx / width + HEART_CENTRE[0],
            dy / height + HEART_CENTRE[1],
        )[:, 0]

    def one_heart(self, patient: Patient, x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
        """Sample one patient's heart, (height, width), at another size."""
        each = parameter_reader([patient], self.device)
        return self.heart([patient.pose], x[None], y[None], each, width, height)[0]

    def one_spine(self, patient: Patient, x: Tensor, y: Tensor) -> Tensor:
        """Sample one patient's spine, (height, width), at other places."""
        return self.spine([patient.pose], x[None], y[None])[0] * patient.spine_gain

    def one_girdle(self, patient: Patient, x: Tensor, y: Tensor) -> Tensor:
        """Sample one patient's shoulder girdle, (height, width), at other places."""
        dx, dy = patient.girdle_shift
        maps = _of(self.girdles, [patient.girdle])
        return self._sample(maps, (x - dx * torch.sign(x))[None], (y - dy)[None])[0, 0]

    def one_lung(self, patient: Patient, x: Tensor, y: Tensor) -> Tensor:
        """Sample one patient's lung path, (height, width), at other places."""
        return self._sample(_of(self.still, [patient.pose])[:, :LOBES], x[None], y[None])[0].sum(dim=0)

    @staticmethod
    def _make_room(lungs: Tensor, growth: Tensor, from_hilum: Tensor, mediastinum: Tensor) -> Tensor:
        """Return the share of the lung path that remains where heart and mediastinum have grown into it.

        Organs only grow: giving lung back would leave a black gap along the heart's old border.
        """
        kept = 1 - growth.clamp(min=0) / lungs.clamp(min=1.0)
        return kept.clamp(min=0) * torch.sigmoid((from_hilum - mediastinum) / 2.5 + 3)

    def _lung_coordinates(
        self, poses: Sequence[int], x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        midline = self.midlines[poses][:, None, None]
        left = x > midline
        rows = self.lung_rows[poses]  # (batch, side, 2)
        top = torch.where(left, rows[:, LEFT, 0, None, None], rows[:, RIGHT, 0, None, None])
        bottom = torch.where(left, rows[:, LEFT, 1, None, None], rows[:, RIGHT, 1, None, None])
        edges = self.lung_columns[poses]  # (batch, side, row, 2)
        count = edges.shape[2]
        row = (y / self.atlas.spacing + count / 2 - 0.5).round().long().clamp(0, count - 1)
        flat = row.flatten(1) + left.flatten(1) * count
        picked = edges.flatten(1, 2).gather(1, flat[:, :, None].expand(-1, -1, 2)).unflatten(1, x.shape[1:])
        from_hilum = (x - midline).abs() - picked[..., 0]
        u = from_hilum / (picked[..., 1] - picked[..., 0]).clamp(min=8)
        return u, (y - top) / (bottom - top), left, from_hilum

    def _bowel_gas(self, patients: Sequence[Patient], x: Tensor, y: Tensor) -> Tensor:
        """Return gas of stomach (under the left dome) and colon flexures, in mm of water that it replaces."""
        gas = np.stack([p.gas for p in patients])[:, :, None, None]
        draws = torch.tensor(gas, dtype=torch.float32, device=self.device)
        total = torch.zeros_like(x)
        places = (
            (62.0, 112.0, 34.0, 17.0, 0.75),
            (95.0, 135.0, 26.0, 14.0, 0.45),
            (-85.0, 160.0, 30.0, 15.0, 0.3),
        )
        for k, (cx, cy, width, height, rate) in enumerate(places):
            present = (draws[:, k] < rate) * (0.4 + draws[:, k + 3])
            inside = (
                1
                - ((x - cx - 10 * draws[:, 8 + k]) / width) ** 2
                - ((y - cy - 7 * draws[:, 11 + k]) / height) ** 2
            )
            total += present * 26 * torch.sqrt(inside.clamp(min=0))
        return total


def _of(maps: Tensor, which: Sequence[int]) -> Tensor:
    """Return every patient's maps in single precision.

    Maps are in half precision, because a random pose is read from main memory. They are read in order and
    then sampled: sampled in place, they would be read in many small pieces.
    """
    if len(which) == 1:
        return maps[which[0] : which[0] + 1].float()
    return maps[list(which)].float()
