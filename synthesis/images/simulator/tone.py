"""Tone curves that bring simulated radiographs to the grey values of real ones: a family of processings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthesis.images.simulator.exposure import Exposure
from synthesis.limits import above, at_least, within

QUANTILES = (0.02, 0.2, 0.5, 0.8, 0.98)
"""Shares of a picture that are darker than black, dark, middle, bright and white of `ToneAims`."""

STEPS = 256  # of a curve
_SMOOTH = 8  # steps to either side over which its corners are rounded
_APART = 0.03  # grey levels that are nearer are not pulled apart: noise would be
_ROOM = 0.06  # of grey beyond black and white, for what is rarer


@dataclass(frozen=True)
class ToneAims:
    """To which grey values vendors' processing brings a view: mean and s.d. over films.

    Dark (lungs), middle and bright (soft tissue, abdomen) are shares of the way from black to white, and go
    together from film to film.

    Attributes:
        black: Mean grey of the darkest 2 %, ≥ 0; exponentially distributed.
        white: Grey of the brightest 2 %.
        dark: Of what is brighter than a fifth of the picture.
        middle: Of what is brighter than half of the picture.
        bright: Of what is brighter than four fifths of the picture.
    """

    black: float = 0.06
    white: tuple[float, float] = (0.89, 0.06)
    dark: tuple[float, float] = (0.34, 0.14)
    middle: tuple[float, float] = (0.66, 0.12)
    bright: tuple[float, float] = (0.875, 0.06)

    def __post_init__(self) -> None:
        """Refuse what is no grey value."""
        at_least(self, 0, black=self.black)
        for name in ("white", "dark", "middle", "bright"):
            mean, deviation = getattr(self, name)
            within(self, 0, 1, **{name: mean})
            at_least(self, 0, **{f"deviation of {name}": deviation})


@dataclass(frozen=True)
class Tone:
    """A tone curve for each film, drawn so that grey values lie as on real films.

    Vendors' processing looks for the range of a picture and brings it to grey values of its taste: a smooth
    rising curve brings the quantiles `QUANTILES` of the healthy picture to greys that are drawn around the
    aims of its view. Where most of a picture is bright, as on real films, this is a long toe and a shoulder.
    The curve depends on the healthy patient alone: a finding changes the picture only where it lies.

    The defaults are what 430 development radiographs of NIH ChestX-ray14 measure.

    Attributes:
        pa: Aims of PA films.
        ap: Aims of AP films.
        together: Share of the variance of dark, middle and bright that they have in common, in [0, 1].
        spread: Multiplies every s.d. of the aims, > 0: more variety than was measured above 1.
        detail: Least and greatest gain of what is about 12 to 40 cycles a picture fine (ribs, vessels), in
            place of the exposure's edge enhancement. The healthy picture is then averaged over the aperture
            of a pixel, too; findings are not, for they change nothing beyond themselves.
    """

    pa: ToneAims = ToneAims()
    ap: ToneAims = ToneAims(0.055, (0.83, 0.055), (0.44, 0.12), (0.675, 0.08), (0.85, 0.04))
    together: float = 0.85
    spread: float = 1.0
    detail: tuple[float, float] = (0.3, 1.1)

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        within(self, 0, 1, together=self.together)
        above(self, 0, spread=self.spread)
        at_least(self, 0, detail=list(self.detail))
        at_least(self, self.detail[0], **{"greatest detail": self.detail[1]})

    def change(self, exposure: Exposure, rng: np.random.Generator, portable: bool) -> Exposure:
        """Return an exposure with one film's greys at `QUANTILES` and its detail.

        Args:
            exposure: As it was drawn.
            rng: The stream of this film's tone.
            portable: Whether it is an AP film.
        """
        aims = self.ap if portable else self.pa
        common, *alone = rng.normal(size=5)
        black = min(0.5, aims.black * float(rng.exponential()))
        white = float(np.clip(aims.white[0] + self.spread * aims.white[1] * alone[3], black + 0.3, 1.0))
        shared, own = self.together**0.5 * common, (1 - self.together) ** 0.5
        between = [
            mean + self.spread * deviation * (shared + own * alone[k])
            for k, (mean, deviation) in enumerate((aims.dark, aims.middle, aims.bright))
        ]
        ways = np.maximum.accumulate(np.clip([0.0, *between, 1.0], 0.0, 1.0))
        greys = tuple(float(grey) for grey in black + (white - black) * ways)
        detail = float(rng.uniform(*self.detail))
        return replace(exposure, greys=greys, detail=detail, edge=0.0, floor=0.0, ceiling=1.0)


def curves(toned: Tensor, greys: Sequence[Sequence[float]]) -> Tensor:
    """Return the curve of each film, ``(film, STEPS + 1)``: grey at 0, 1 / STEPS … 1, rising.

    Args:
        toned: Healthy pictures before, ``(film, height, width)``.
        greys: What their `QUANTILES` become.
    """
    every, shares = toned[:, ::3, ::3].flatten(1), torch.tensor(QUANTILES, device=toned.device)
    found = torch.quantile(every, shares, dim=1).T.double().cpu().numpy()
    steps = np.linspace(0, 1, STEPS + 1)
    box = np.full(2 * _SMOOTH + 1, 1 / (2 * _SMOOTH + 1))
    apart = _APART * np.arange(len(QUANTILES))
    bent = []
    for quantiles, aims in zip(found, greys, strict=True):
        at = np.maximum.accumulate(quantiles - apart) + apart
        darkest, brightest = max(0.0, aims[0] - _ROOM), min(1.0, aims[-1] + _ROOM)
        ends = min(0.0, at[0]) - _APART, max(1.0, at[-1]) + _APART
        line = np.interp(steps, [ends[0], *at, ends[1]], [darkest, *aims, brightest])
        padded = np.pad(line, _SMOOTH, "reflect", reflect_type="odd")
        bent.append(np.convolve(padded, box, "valid").clip(0, 1))
    return torch.from_numpy(np.stack(bent)).float().to(toned.device)


def bend(level: Tensor, curve: Tensor) -> Tensor:
    """Return grey values, ``(batch, height, width)``, of one film's levels in [0, 1], in their memory.

    Args:
        level: ``(batch, height, width)``.
        curve: ``(STEPS + 1,)``.
    """
    place = level.mul_(STEPS)
    below = place.int().clamp_(0, STEPS - 1)
    place.sub_(below)
    flat = below.flatten()
    low, rise = curve.index_select(0, flat), curve.diff().index_select(0, flat)
    return place.mul_(rise.view_as(place)).add_(low.view_as(place))
