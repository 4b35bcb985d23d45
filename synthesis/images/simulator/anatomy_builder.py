"""From patients to line integrals of healthy chests: the atlas sampled through each patient's geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthesis.images.simulator.anatomy import Anatomy
from synthesis.images.simulator.atlas import MAP_NAMES, Atlas
from synthesis.images.simulator.body import breasts, soft_tissue
from synthesis.images.simulator.crisp_anatomy import CrispAnatomy
from synthesis.images.simulator.fields import above, hump, products, rise, sphere
from synthesis.images.simulator.girdle import girdle_maps
from synthesis.images.simulator.habitus import Habitus
from synthesis.images.simulator.patient import CONTROL_POINTS, ParameterReader, Patient, parameter_reader
from synthesis.images.simulator.textures import TEXTURE_SEED

BODY = ("lungs", "vessels", "heart", "flesh", "spine")
"""Maps that share the body's own geometry; ribs, heart and girdle each have one of their own."""

LOBES = 5  # the first maps of an atlas
BEYOND = 60  # atlas rows of neck and upper abdomen for which the spine of the CT is continued, each way
RIGHT, LEFT = 0, 1
HEART_CENTRE = (30.0, 27.0)  # mm in the atlas frame
GIRDLE_GAIN = 2.8  # mm of water in a mm of drawn bone: collar bones stand out as on films
GAS = (
    (62.0, 112.0, 34.0, 17.0, 0.75),
    (95.0, 135.0, 26.0, 14.0, 0.45),
    (-85.0, 160.0, 30.0, 15.0, 0.3),
)
"""Bubbles of stomach and colon flexures: centre x, y, half width and height in mm, how often there is one."""


class AnatomyBuilder:
    """Samples an atlas for batches of patients.

    Maps of a batch are computed together, but for products of matrices and sampling, where the last bit might
    depend on neighbours.

    Args:
        atlas: At about the output's resolution.
        image_size: Height and width of the output in pixels.
        device: Where the maps live.
        crisp: What makes anatomy crisper; None leaves it as the atlas has it.
        habitus: Bodies of another outline; None for those of `soft_tissue`.
    """

    def __init__(
        self,
        atlas: Atlas,
        image_size: int,
        device: torch.device,
        crisp: CrispAnatomy | None = None,
        habitus: Habitus | None = None,
    ) -> None:
        self.atlas, self.size, self.device = atlas, image_size, device
        self.crisp, self.habitus = crisp, habitus
        self.texture_seed = TEXTURE_SEED
        line = (torch.arange(image_size, device=device) + 0.5) / image_size * 2 - 1
        knots = torch.linspace(-1, 1, CONTROL_POINTS, device=device)
        weights = torch.exp(-(((line[:, None] - knots) / (2 / (CONTROL_POINTS - 1))) ** 2))
        smooth = weights / weights.sum(dim=1, keepdim=True)
        self.basis = torch.cat([smooth, line[:, None], torch.ones_like(line[:, None])], dim=1)
        pixel = torch.arange(image_size, device=device)[:, None]
        knot = torch.arange(0, image_size, 2, device=device)
        last = knot[-1:]  # an even number of pixels ends beyond the last knot, which is repeated
        self.between = (1 - (pixel.clamp(max=last) - knot).abs() / 2).clamp(min=0)
        poses = torch.stack([pose.maps for pose in atlas.poses]).to(device)
        if crisp is not None:
            poses = crisp.sharpened(poses, atlas.spacing)
        named = dict(zip(MAP_NAMES, poses.unbind(1), strict=True))
        self.lobes = poses[:, :LOBES].half()
        named["lungs"] = poses[:, :LOBES].sum(dim=1)
        organs = crisp is not None and crisp.organs
        named["flesh"] = 1.2 * named["sternum"] - (1.2 if organs else 0.8) * named["trachea"]
        body = F.pad(torch.stack([named[name] for name in BODY], dim=1), (0, 0, BEYOND, BEYOND))
        # The neck and the upper abdomen continue the spine of the CT by its mirror image.
        body[:, -1] = F.pad(named["spine"], (0, 0, BEYOND, BEYOND), mode="reflect")
        self.body = body.half()
        self.ribs = [named[name][:, None].half() for name in ("ribs_posterior", "ribs_anterior")]
        girdles = girdle_maps(atlas.spacing)
        if crisp is not None:
            girdles = torch.cat([girdles, crisp.girdles(atlas.spacing)])
        self.girdles = girdles.to(device)[:, None].half()
        self.midlines = torch.tensor([pose.midline for pose in atlas.poses], device=device)
        self.hearts = torch.tensor([pose.heart_offset for pose in atlas.poses], device=device) + torch.tensor(
            HEART_CENTRE, device=device
        )
        self.tops, self.bottoms = torch.stack([pose.lung_rows for pose in atlas.poses]).to(device).unbind(2)
        edges = torch.stack([pose.lung_columns for pose in atlas.poses]).to(device)
        self.medial = edges[..., 0].flatten(1)  # (pose, side and row)
        self.per_width = 1 / (edges[..., 1] - edges[..., 0]).clamp(min=8).flatten(1)

    def build(self, patients: Sequence[Patient]) -> list[Anatomy]:
        """Return the healthy anatomy of every patient; one batched pass over the maps."""
        each = parameter_reader(patients, self.device)
        poses = [p.pose for p in patients]
        x, y = self._frame(patients, each)
        if self.habitus is not None:
            x = self.habitus.drawn_in(patients, x, y)
        lungs, vessels, before, base, spine = self._sample(self.body, poses, x, y)
        ribs = self._ribs(poses, x, y, each)
        spine = spine * each("spine_gain")
        (girdle,) = self._sample(
            self.girdles,
            [p.girdle for p in patients],
            torch.addcmul(x, each("girdle_shift", 0), torch.sign(x), value=-1),
            y - each("girdle_shift", 1),
        )
        heart = self.heart(poses, x, y, each, each("heart_scale", 0), each("heart_scale", 1))
        u, v, left, from_hilum = self._lung_coordinates(poses, x, y)
        growth, organs = heart - before, self.crisp is not None and self.crisp.organs
        if self.crisp is not None and organs:
            growth = growth.relu_().add_(self.crisp.aorta(each, patients, x, y))
        kept = self._make_room(lungs, growth, from_hilum, each("mediastinum"))
        lungs = lungs * kept
        vessels = _saturated(vessels, 7.0).mul_(kept).mul_(each("vessel_gain"))
        if self.crisp is not None and self.crisp.vessels > 0:
            vessels = self.crisp.with_vessels(self.atlas, patients, x, y, vessels, lungs)
        # Flesh and gas are smooth: a quarter of the pixels tells all.
        coarse = x[:, ::2, ::2].contiguous(), y[:, ::2, ::2].contiguous()
        if self.habitus is not None:  # with edges so sharp that every pixel counts
            base.add_(self.habitus.soft_tissue(x, y, each, patients, breasted=not organs))
            soft = torch.zeros_like(coarse[0])
        else:
            soft = soft_tissue(*coarse, each, posed=self.crisp is not None, breasted=not organs)
        if self.crisp is not None and organs:
            soft -= self.crisp.bowel_gas(patients, *coarse)
            base.add_(breasts(x.abs(), y, each, roundness=0.5))
        else:
            soft = soft - self._bowel_gas(patients, *coarse)
        base.add_(products(self.between, soft, self.between.T))
        base.addcmul_(lungs, each("lung_density") - 1).add_(vessels).add_(ribs).add_(spine)
        base.add_(girdle * each("girdle_gain"), alpha=GIRDLE_GAIN)
        base.add_(heart * each("heart_gain"), alpha=0.06).clamp_(min=0)
        maps = {"x": x, "y": y, "u": u, "v": v, "left": left, "kept": kept, "lungs": lungs}
        maps |= {"vessels": vessels, "heart": heart, "spine": spine, "ribs": ribs, "girdle": girdle}
        maps |= {"base": base}
        return [
            Anatomy(
                p, p.pose, mm=p.field / self.size, builder=self, **{name: m[i] for name, m in maps.items()}
            )
            for i, p in enumerate(patients)
        ]

    def _frame(self, patients: Sequence[Patient], each: ParameterReader) -> tuple[Tensor, Tensor]:
        """Return where in the atlas frame every output pixel looks, x and y in mm."""
        bends = np.stack([_placed(p) for p in patients]).astype(np.float32)
        x, y = products(self.basis, torch.from_numpy(bends).to(self.device), self.basis.T).unbind(1)
        return self._anatomical(each, x, y)

    @staticmethod
    def _anatomical(each: ParameterReader, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Shape the lungs: apex and base wider or narrower, each hemidiaphragm higher or lower."""
        wider = (rise(y, -60, -30) * each("apex_width")).add_(1)
        x = x / wider.addcmul_(rise(y, 40, 30), each("base_width"))
        drop = torch.lerp(each("diaphragm", 0), each("diaphragm", 1), rise(x, 0, 15))
        drop = drop.mul_(rise(y, 20, 22)).mul_(hump(y - 80, 110 / math.sqrt(2)))
        return x, y - drop

    def _sample(self, maps: Tensor, which: Sequence[int], x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Sample maps (pose, map, row, column) about the origin at x, y (batch, height, width) in mm.

        Maps are in half precision, because a random pose is read from main memory. They are read in order and
        then sampled: sampled in place, they would be read in many small pieces.

        Returns:
            Each map, (batch, height, width).
        """
        rows, columns = maps.shape[2:]
        half = self.atlas.spacing / 2
        # Pairs of (x, y) as complex numbers: interleaving them by torch.stack takes six times as long.
        grid = torch.view_as_real(torch.complex(x * (1 / (columns * half)), y * (1 / (rows * half))))
        sampled = [
            F.grid_sample(maps[pose : pose + 1].float(), grid[i : i + 1], align_corners=False)[0]
            for i, pose in enumerate(which)
        ]
        return torch.stack(sampled, dim=1).unbind(0)

    def _ribs(self, poses: Sequence[int], x: Tensor, y: Tensor, each: ParameterReader) -> Tensor:
        """Draw back and front of the ribcage, each steeper or flatter, higher or lower by itself."""
        lateral = (x * x).add_(400).sqrt_()
        sampled: list[Tensor] = []
        for part, ribs in enumerate(self.ribs):
            steeper = torch.addcmul(y, lateral, each("rib_slope", part), value=1 if part == 0 else -1)
            shifted = torch.addcmul(each("rib_shift", part), steeper, each("rib_spread"))
            sampled += self._sample(ribs, poses, x, shifted)
        return (sampled[0] + sampled[1]).mul_(each("rib_gain"))

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
        turn = each("heart_turn") * (math.pi / 180)
        cos, sin = torch.cos(turn), torch.sin(turn)
        column, row = self.hearts[poses].T[:, :, None, None]
        dx, dy = x - (each("heart_shift", 0) + column), y - (each("heart_shift", 1) + row)
        across = (dx * (cos / width)).addcmul_(dy, sin / width, value=-1).add_(column)
        down = dx.mul_(sin / height).addcmul_(dy, cos / height).add_(row)
        (heart,) = self._sample(self.body[:, BODY.index("heart"), None], poses, across, down)
        return heart

    def one_heart(self, patient: Patient, x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
        """Sample one patient's heart, (height, width), at another size."""
        each = parameter_reader([patient], self.device)
        return self.heart([patient.pose], x[None], y[None], each, width, height)[0]

    def one_map(self, name: str, patient: Patient, x: Tensor, y: Tensor) -> Tensor:
        """Sample a map of `BODY` of one patient, (height, width), at other places."""
        at = BODY.index(name)
        return self._sample(self.body[:, at, None], [patient.pose], x[None], y[None])[0][0]

    def one_girdle(self, patient: Patient, x: Tensor, y: Tensor) -> Tensor:
        """Sample one patient's shoulder girdle, (height, width), at other places."""
        dx, dy = patient.girdle_shift
        return self._sample(self.girdles, [patient.girdle], (x - dx * torch.sign(x))[None], (y - dy)[None])[
            0
        ][0]

    def some_lobes(self, patient: Patient, which: Sequence[int], x: Tensor, y: Tensor) -> Tensor:
        """Sample the lung path of some lobes of one patient, all together, (height, width)."""
        lobes = self.lobes[patient.pose, list(which)].float().sum(dim=0)
        return self._sample(lobes[None, None], [0], x[None], y[None])[0][0]

    @staticmethod
    def _make_room(lungs: Tensor, growth: Tensor, from_hilum: Tensor, mediastinum: Tensor) -> Tensor:
        """Return the share of the lung path that remains where heart and mediastinum have grown into it.

        Organs only grow: giving lung back would leave a black gap along the heart's old border.
        """
        kept = growth.relu_().div_(lungs.clamp(min=1.0)).neg_().add_(1).relu_()
        return kept.mul_((from_hilum - mediastinum).mul_(1 / 2.5).add_(3).sigmoid_())

    def _lung_coordinates(
        self, poses: Sequence[int], x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        offset = x - self.midlines[poses][:, None, None]
        left = above(offset, 0)
        top, bottom = self.tops[poses][:, :, None, None], self.bottoms[poses][:, :, None, None]
        above_, height = torch.lerp(top[:, RIGHT], top[:, LEFT], left), bottom - top
        v = (y - above_).div_(torch.lerp(height[:, RIGHT], height[:, LEFT], left))
        count = self.medial.shape[1] // 2
        row = (y * (1 / self.atlas.spacing)).add_(count / 2 - 0.5).round_().clamp_(0, count - 1)
        row = row.add_(left, alpha=count).int()
        medial, per_width = (
            torch.stack(
                [edges[pose].index_select(0, at.flatten()) for pose, at in zip(poses, row, strict=True)]
            )
            for edges in (self.medial, self.per_width)
        )
        from_hilum = offset.abs_().sub_(medial.view_as(x))
        return from_hilum * per_width.view_as(x), v, left, from_hilum

    def _bowel_gas(self, patients: Sequence[Patient], x: Tensor, y: Tensor) -> Tensor:
        """Return gas of stomach (under the left dome) and colon flexures, in mm of water that it replaces."""
        draws, places = np.stack([p.gas for p in patients]), np.array(GAS)
        amount = 26 * (draws[:, :3] < places[:, 4]) * (0.4 + draws[:, 3:6])
        cx, cy = (places[:, k] + shift * draws[:, 8 + 3 * k : 11 + 3 * k] for k, shift in enumerate((10, 7)))
        width, height = np.broadcast_to(places[:, 2:4].T[:, None], (2, *cx.shape))
        numbers = np.stack([amount, cx, cy, 1 / width, 1 / height]).astype(np.float32)[..., None, None]
        amounts, left, top, per_width, per_height = torch.from_numpy(numbers).to(self.device)
        across, down = (x[:, None] - left).mul_(per_width), (y[:, None] - top).mul_(per_height)
        return sphere(across.square_().add_(down.square_()), 1.0).mul_(amounts).mul_(0.5).sum(dim=1)


def _placed(patient: Patient) -> np.ndarray:
    """Return how a patient is placed before the detector, (2, knots, knots): warp, turn, shift and scale.

    In the basis of the smooth warp and of a straight line and a constant, rows first.
    """
    turn, half = math.radians(patient.rotation), patient.field / 2
    bend = np.zeros((2, CONTROL_POINTS + 2, CONTROL_POINTS + 2))
    bend[:, :CONTROL_POINTS, :CONTROL_POINTS] = patient.warp
    for k, (down, across) in enumerate(((-math.sin(turn), math.cos(turn)), (math.cos(turn), math.sin(turn)))):
        bend[k, -2, -1] = half * down / patient.scale[k]
        bend[k, -1, -2] = half * across / patient.scale[k]
        bend[k, -1, -1] = patient.centre[k] / patient.scale[k]
    return bend


def _saturated(value: Tensor, limit: float) -> Tensor:
    """Return limit · tanh(value / limit)."""
    return (value * (2 / limit)).sigmoid_().sub_(0.5).mul_(2 * limit)
