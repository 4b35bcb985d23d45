"""Boxes from a feature map, without anchors: a heat map of centres a class, and a box at every place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.downstream.boxes import corners
from lightning_modules.downstream.feature_pyramid import FeaturePyramid

_WIDTH = 0.54 / 6
"""Deviation of a box's Gaussian as a share of its side: TTFNet's."""

_USUAL = 0.1
"""Distance from centre to edge, as a share of the image's side, that an untrained head says."""


class DenseBoxHead(nn.Module):
    """The head of TTFNet (Liu et al. 2020, arXiv 1909.00700), which trains several times faster than others.

    As in CenterNet (Zhou et al. 2019, arXiv 1904.07850) a heat map a class peaks at the centres of boxes.
    The places around a centre learn the distances to the box's four edges, weighted by the same Gaussian:
    each box teaches many places, which a short training needs. Boxes of a class have distances of their own,
    because findings lie over each other, and a heart over what is behind it.

    Args:
        widths: Channels of the tower's maps, from the finest to the coarsest.
        classes: Number of classes.
        channels: Channels of the head.
    """

    def __init__(self, widths: Sequence[int], classes: int, channels: int) -> None:
        super().__init__()
        self.classes = classes
        self.pyramid = FeaturePyramid(widths, channels)
        self.shared = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))
        self.heat = nn.Conv2d(channels, classes, 1)
        self.distances = nn.Conv2d(channels, 4 * classes, 1)
        rarely = -math.log(99)  # a centre is in one place of a hundred: Lin et al. 2017, arXiv 1708.02002
        nn.init.constant_(self.heat.bias, rarely)  # type: ignore[arg-type]
        for convolution in (self.heat, self.distances):
            nn.init.normal_(convolution.weight, std=0.01)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the logits of centres ``(batch, class, rows, columns)``, and a box a class at every place.

        Boxes are ``(batch, class, rows, columns, 4)``: left, top, right, bottom as shares of the image's
        sides. Both are float32.

        Args:
            maps: ``(batch, width, rows, columns)`` each, from the finest to the coarsest.
        """
        shared = self.shared(self.pyramid(maps))
        rows, columns = shared.shape[2:]
        raw = self.distances(shared).float().unflatten(1, (self.classes, 4)).movedim(2, -1)
        left, top, right, bottom = (_USUAL * raw.clamp(max=4).exp()).unbind(-1)
        x, y = _centres(rows, columns, shared.device)
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)
        return self.heat(shared).float(), boxes

    def loss(self, heat: Tensor, boxes: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Return the loss, a scalar: focal on the heat map, and five times 1 − GIoU of the boxes, as TTFNet.

        Both are sums over the batch, divided by the number of true boxes.

        Args:
            heat: As `forward` returns it.
            boxes: As `forward` returns it.
            targets: The true boxes of each image: ``boxes (n, 4)`` (centre, size), ``class_labels (n,)``.
        """
        from monai.data.box_utils import box_pair_giou

        wanted = torch.zeros_like(heat)
        errors = [heat.new_zeros(())]
        for image, target in enumerate(targets):
            for box, kind in zip(target["boxes"], target["class_labels"].tolist(), strict=True):
                bump = self._bump(box, heat)
                wanted[image, kind] = torch.maximum(wanted[image, kind], bump)
                near = bump > 0.1
                weight = bump[near] / bump[near].sum()
                found = boxes[image, kind][near]
                giou = box_pair_giou(found, corners(box)[None].expand_as(found))
                errors.append((weight * (1 - giou)).sum())
        true_boxes = max(1, sum(len(target["boxes"]) for target in targets))
        return (_focal(heat, wanted) + 5 * torch.stack(errors).sum()) / true_boxes

    @staticmethod
    def best(heat: Tensor, boxes: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the surest boxes of each image, one a peak: boxes, scores and classes.

        Args:
            heat: As `forward` returns it.
            boxes: As `forward` returns it.
            count: How many boxes, at most.

        Returns:
            ``(batch, count, 4)`` within [0, 1], ``(batch, count)`` in [0, 1], ``(batch, count)`` int64.
        """
        sure = heat.sigmoid()
        peaks = sure * (F.max_pool2d(sure, 3, stride=1, padding=1) == sure)
        scores, places = peaks.flatten(1).topk(min(count, peaks[0].numel()), dim=1)
        chosen = boxes.flatten(1, 3).gather(1, places[..., None].expand(-1, -1, 4))
        return chosen.clamp(0, 1), scores, places // heat[0, 0].numel()

    @staticmethod
    def _bump(box: Tensor, heat: Tensor) -> Tensor:
        """Return the Gaussian of a box ``(rows, columns)``: 1 in the place that holds its centre."""
        rows, columns = heat.shape[2:]
        x, y = _centres(rows, columns, heat.device)
        across, down = (int(min(float(c) * n, n - 1)) for c, n in zip(box[:2], (columns, rows), strict=True))
        # Of a small box still the one place of its centre.
        spread_x, spread_y = (
            (box[2] * _WIDTH).clamp_min(0.3 / columns), (box[3] * _WIDTH).clamp_min(0.3 / rows)
        )  # fmt: skip
        apart = ((x - x[0, across]) / spread_x) ** 2 + ((y - y[down, 0]) / spread_y) ** 2
        return torch.exp(-apart / 2)


def _centres(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x ``(1, columns)`` and y ``(rows, 1)`` of the centres of places, as shares of the sides."""
    x = (torch.arange(columns, device=device) + 0.5) / columns
    y = (torch.arange(rows, device=device) + 0.5) / rows
    return x[None], y[:, None]


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """CornerNet's focal loss (Law and Deng 2018, arXiv 1808.01244), summed: less near a centre."""
    sure, centre = logits.sigmoid(), wanted == 1
    at_centres = F.logsigmoid(logits) * (1 - sure) ** 2 * centre
    elsewhere = F.logsigmoid(-logits) * sure**2 * (1 - wanted) ** 4
    return -(at_centres + elsewhere).sum()
