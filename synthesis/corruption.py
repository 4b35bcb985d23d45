"""Pairs as a hospital archive holds them: some with another study's report, some with a spoilt image.

The control arm of the paper: the same sampler, writer and image maker as a clean corpus, damaged by a stated
share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.cases import Case, CaseSampler
from synthesis.images.image_maker import ImageMaker
from synthesis.pairs import Pair, PairFilter, PairSynthesizer
from synthesis.reports.report_writer import ReportWriter
from synthesis.seeding import generator, pair_seed

MISPAIRED = "mispaired"

_Masks = Tensor | None
_Damage = Callable[[Tensor, _Masks, np.random.Generator], tuple[Tensor, _Masks]]


@dataclass(frozen=True)
class Damage:
    """What is done to one pair.

    Attributes:
        report_of: Index of the case whose report the pair gets, or None.
        kind: How the image is spoilt, a key of `KINDS`, or None.
    """

    report_of: int | None
    kind: str | None


class ClinicSynthesizer(PairSynthesizer):
    """Makes the pairs of `PairSynthesizer` and damages a share of them.

    What happens to a pair is a pure function of (configuration, seed, split, index) and stands in its
    ``notes`` ("mispaired: report of case 812", "image: blurred"). Labels stay those of the image's true case,
    and masks follow the image. Filters see the damaged pairs.

    Args:
        sampler: Draws the case of each index.
        writer: Writes the report of a case.
        image_maker: Draws the case.
        filters: Reject bad pairs, in this order.
        attempts: How often a case is drawn before the filters are said to be impossible to please.
        mispaired: Share of the pairs whose report is that of another case with other concepts, in [0, 1].
        corrupted: Share of the pairs whose image is spoilt, in [0, 1]; independent of ``mispaired``.
        kinds: Kind (a key of `KINDS`) → relative frequency among the spoilt images; None takes all kinds
            equally.
        splits: The splits that are damaged; what is held out stays clean, so that arms are judged on the same
            pairs.

    Attributes:
        version: Of the plan of damages and of how images are spoilt, beside that of `PairSynthesizer`.
    """

    version: int = 1

    def __init__(
        self,
        sampler: CaseSampler,
        writer: ReportWriter,
        image_maker: ImageMaker,
        filters: Sequence[PairFilter] = (),
        attempts: int = 16,
        mispaired: float = 0.1,
        corrupted: float = 0.1,
        kinds: Mapping[str, float] | None = None,
        splits: Sequence[str] = ("train",),
    ) -> None:
        super().__init__(sampler, writer, image_maker, filters, attempts)
        for name, share in (("mispaired", mispaired), ("corrupted", corrupted)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share} is no share; give a number from 0 to 1.")
        self.mispaired = mispaired
        self.corrupted = corrupted
        self.kinds = _normalised(dict.fromkeys(KINDS, 1.0) if kinds is None else kinds)
        self.splits = tuple(splits)

    def damage(self, index: int, seed: int, split: str, attempt: int = 0) -> Damage:
        """Return what is done to a pair, without making it."""
        if split not in self.splits:
            return Damage(None, None)
        rng = self._rng(index, seed, split, attempt)
        wrong_report, spoilt = rng.random(2) < (self.mispaired, self.corrupted)
        kind = str(rng.choice(list(self.kinds), p=list(self.kinds.values())))
        report_of = self._other(index, seed, split, rng) if wrong_report else None
        return Damage(report_of, kind if spoilt else None)

    def count(self, indices: Sequence[int], seed: int, split: str) -> Counter[str]:
        """Count the damage among some pairs without making them: mispaired, and each kind of image."""
        counts: Counter[str] = Counter()
        for index in indices:
            damage = self.damage(index, seed, split)
            if damage.report_of is not None:
                counts[MISPAIRED] += 1
            if damage.kind is not None:
                counts[damage.kind] += 1
        return counts

    def describe(self) -> dict[str, Any]:
        """Return everything a pair depends on besides seed, split and index, as a JSON-able dict."""
        return {
            **super().describe(),
            "mispaired": self.mispaired,
            "corrupted": self.corrupted,
            "kinds": self.kinds,
            "splits": list(self.splits),
        }

    def _draw(self, indices: Sequence[int], seed: int, split: str, attempt: int = 0) -> list[Pair]:
        pairs = super()._draw(indices, seed, split, attempt)
        damages = [self.damage(i, seed, split, attempt) for i in indices]
        self._swap_reports(pairs, damages, seed, split)
        for pair, damage in zip(pairs, damages, strict=True):
            if damage.kind is not None:
                rng = self._rng(pair.index, seed, split, attempt, "image")
                pair.image, pair.masks = KINDS[damage.kind](pair.image, pair.masks, rng)
                pair.notes += (f"image: {damage.kind}",)
        return pairs

    def _swap_reports(self, pairs: list[Pair], damages: list[Damage], seed: int, split: str) -> None:
        swaps = [
            (pair, d.report_of) for pair, d in zip(pairs, damages, strict=True) if d.report_of is not None
        ]
        cases = [self.sampler.sample(seed, split, other) for _, other in swaps]
        reports = self.writer.write(cases, [pair_seed(seed, split, other) for _, other in swaps])
        for (pair, other), report in zip(swaps, reports, strict=True):
            pair.report = replace(report, notes=())
            pair.notes += (f"{MISPAIRED}: report of case {other}",)

    def _other(self, index: int, seed: int, split: str, rng: np.random.Generator) -> int:
        """Choose another case with other concepts: with the same ones its report would not be wrong."""

        def concepts(case: Case) -> frozenset[str]:
            return case.concepts(self.catalog)

        own = concepts(self.sampler.sample(seed, split, index))
        others = [index + int(step) for step in rng.integers(1, 2**20, size=32)]
        differing = (i for i in others if concepts(self.sampler.sample(seed, split, i)) != own)
        return next(differing, others[0])  # the default only where a sampler knows a single set of concepts

    @staticmethod
    def _rng(index: int, seed: int, split: str, attempt: int, purpose: str = "plan") -> np.random.Generator:
        return generator(pair_seed(seed, split, index), f"clinic {purpose} {attempt}")


def _normalised(kinds: Mapping[str, float]) -> dict[str, float]:
    for kind, weight in kinds.items():
        if kind not in KINDS:
            raise ValueError(f"kinds: unknown kind {kind!r}; use some of {', '.join(KINDS)}.")
        if not weight >= 0:
            raise ValueError(f"kinds: {kind} has weight {weight}; give a number ≥ 0.")
    total = sum(kinds.values())
    if not total > 0:
        raise ValueError(
            f"kinds={dict(kinds)}: no kind has a weight above 0; give one, or set corrupted to 0."
        )
    return {kind: kinds[kind] / total for kind in KINDS if kind in kinds}


def _blurred(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    sigma = image.shape[-1] * rng.uniform(0.025, 0.06)
    radius = min(int(3 * sigma), image.shape[-1] - 1)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = F.pad(image[None].float(), [radius] * 4, mode="reflect")
    smooth = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return _as_uint8(smooth[0]), masks


def _overexposed(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    return _as_uint8(image.float() * rng.uniform(2.5, 5)), masks


def _underexposed(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    return _as_uint8(image.float() * rng.uniform(0.04, 0.15)), masks


def _inverted(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    return 255 - image, masks


def _cropped(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    height, width = image.shape[-2:]
    share = rng.uniform(0.35, 0.55)
    h, w = max(1, int(height * share)), max(1, int(width * share))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))

    def window(x: Tensor, mode: str) -> Tensor:
        return F.interpolate(x[None, :, top : top + h, left : left + w].float(), (height, width), mode=mode)[
            0
        ]

    if masks is not None and len(masks):
        masks = window(masks, "nearest").bool()
    return _as_uint8(window(image, "bilinear")), masks


def _rotated(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    turns = int(rng.integers(1, 4))
    turned = None if masks is None else masks.rot90(turns, (-2, -1)).contiguous()
    return image.rot90(turns, (-2, -1)).contiguous(), turned


def _mirrored(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    return image.flip(-1), None if masks is None else masks.flip(-1)


def _blank(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    level = rng.choice([0, 128, 255])
    noise = rng.normal(0, rng.uniform(0, 3), tuple(image.shape))
    return _as_uint8(torch.from_numpy(level + noise)), masks


def _noisy(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    noise = rng.normal(0, rng.uniform(60, 120), tuple(image.shape))
    return _as_uint8(image + torch.from_numpy(noise)), masks


def _truncated(image: Tensor, masks: _Masks, rng: np.random.Generator) -> tuple[Tensor, _Masks]:
    """Return an image of a truncated file: decoders fill what is missing with mid-grey."""
    first = int(image.shape[-2] * rng.uniform(0.1, 0.6))
    image = image.clone()
    image[:, first:] = 128
    return image, masks


def _as_uint8(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


KINDS: Mapping[str, _Damage] = {
    "blurred": _blurred,
    "overexposed": _overexposed,
    "underexposed": _underexposed,
    "inverted": _inverted,
    "cropped": _cropped,
    "rotated": _rotated,
    "mirrored": _mirrored,
    "blank": _blank,
    "noisy": _noisy,
    "truncated": _truncated,
}
"""How an image can be spoilt: (image, masks, random numbers) → (image, masks)."""
