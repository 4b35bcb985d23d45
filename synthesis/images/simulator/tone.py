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
"""Shares of a body that are darker than its darkest, dark, middle, bright and white of `ToneAims`."""

STEPS = 256  # of a curve
_SMOOTH = 8  # steps to either side over which its corners are rounded
_APART = 0.03  # grey levels that are nearer are not pulled apart: noise would be
_ROOM = 0.06  # of grey beyond white, for what is rarer
_TOE = 0.05  # least distance of the darkest of a body from the air around it, before


@dataclass(frozen=True)
class ToneAims:
    """To which grey values vendors' processing brings a view: mean and s.d. over films.

    All but black are of the body. Dark (lungs), middle and bright (soft tissue, abdomen) are shares of the
    way from its darkest to white, and go together from film to film.

    Attributes:
        black: Mean grey of the air around the body, ≥ 0; exponentially distributed.
        darkest: Grey of the darkest 2 % of the body.
        white: Grey of the brightest 2 %.
        dark: Of what is brighter than a fifth of the body.
        middle: Of what is brighter than half of the body.
        bright: Of what is brighter than four fifths of the body.
    """

    black: float = 0.04
    darkest: tuple[float, float] = (0.217, 0.08)
    white: tuple[float, float] = (0.895, 0.06)
    dark: tuple[float, float] = (0.305, 0.097)
    middle: tuple[float, float] = (0.63, 0.1)
    bright: tuple[float, float] = (0.866, 0.056)

    def __post_init__(self) -> None:
        """Refuse what is no grey value."""
        at_least(self, 0, black=self.black)
        for name in ("darkest", "white", "dark", "middle", "bright"):
            mean, deviation = getattr(self, name)
            within(self, 0, 1, **{name: mean})
            at_least(self, 0, **{f"deviation of {name}": deviation})


@dataclass(frozen=True)
class Tone:
    """A tone curve for each film, drawn so that grey values lie as on real films.

    Vendors' processing looks for the range of a picture and brings it to grey values of its taste: a smooth
    rising curve brings the quantiles `QUANTILES` of the healthy body to greys that are drawn around the
    aims of its view. The air around it is darker than any lung, whether a film shows much of it or none.
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
    ap: ToneAims = ToneAims(
        0.045, (0.249, 0.06), (0.836, 0.058), (0.372, 0.091), (0.601, 0.077), (0.82, 0.047)
    )
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
        """Return an exposure with one film's greys, of air and at `QUANTILES`, and its detail.

        Args:
            exposure: As it was drawn.
            rng: The stream of this film's tone.
            portable: Whether it is an AP film.
        """
        aims = self.ap if portable else self.pa
        common, *alone = rng.normal(size=6)
        black = min(0.5, aims.black * float(rng.exponential()))
        darkest = float(np.clip(aims.darkest[0] + self.spread * aims.darkest[1] * alone[4], black, 0.6))
        white = float(np.clip(aims.white[0] + self.spread * aims.white[1] * alone[3], darkest + 0.3, 1.0))
        shared, own = self.together**0.5 * common, (1 - self.together) ** 0.5
        between = [
            mean + self.spread * deviation * (shared + own * alone[k])
            for k, (mean, deviation) in enumerate((aims.dark, aims.middle, aims.bright))
        ]
        ways = np.maximum.accumulate(np.clip([0.0, *between, 1.0], 0.0, 1.0))
        greys = (black, *(float(grey) for grey in darkest + (white - darkest) * ways))
        detail = float(rng.uniform(*self.detail))
        return replace(exposure, greys=greys, detail=detail, edge=0.0, floor=0.0, ceiling=1.0)


def curves(toned: Tensor, inside: Tensor, greys: Sequence[Sequence[float]]) -> Tensor:
    """Return the curve of each film, ``(film, STEPS + 1)``: grey at 0, 1 / STEPS … 1, rising.

    Args:
        toned: Healthy pictures before, ``(film, height, width)``.
        inside: Whether a pixel shows the body.
        greys: What black and the `QUANTILES` of the body become.
    """
    shares = torch.tensor(QUANTILES, device=toned.device)
    pairs = zip(toned[:, ::3, ::3], inside[:, ::3, ::3], strict=True)
    found, airs = [], []
    for film, body in pairs:
        part, air = film[body], film[~body]
        found.append(torch.quantile(part if len(part) else film.flatten(), shares).double().cpu().numpy())
        airs.append(float(air.median()) if len(air) else 0.0)
    steps = np.linspace(0, 1, STEPS + 1)
    box = np.full(2 * _SMOOTH + 1, 1 / (2 * _SMOOTH + 1))
    apart = _APART * np.arange(len(QUANTILES))
    bent = []
    for quantiles, air, aims in zip(found, airs, greys, strict=True):
        at = np.maximum.accumulate(np.maximum(quantiles - apart, air + _TOE)) + apart
        brightest = min(1.0, aims[-1] + _ROOM)
        line = np.interp(steps, [air, *at, max(1.0, at[-1]) + _APART], [*aims, brightest])
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
