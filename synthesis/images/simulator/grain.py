"""Noise as it is on radiographs that were averaged down: drawn finer than the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from synthesis.images.simulator.exposure import Exposure
from synthesis.limits import above, at_least


@dataclass(frozen=True)
class Grain:
    """Noise drawn `finer` times as fine as the picture and averaged down, in place of white noise.

    A radiograph is read with an antialiasing filter, a triangle twice as wide as a pixel of the result, and
    so is its noise: pixels beside each other share some, and there is less of it at the finest scale. It is
    not drawn so fine, which would cost more than the rest of the picture, but filtered to the same spectrum.

    Attributes:
        finer: Pixels of the detector that one of the picture averages, each way, ≥ 1; 1 is white noise.
        amount: Least and greatest s.d. relative to the signal behind the mediastinum, after averaging;
            log-uniform between, > 0.
    """

    finer: int = 8
    amount: tuple[float, float] = (0.006, 0.013)

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        at_least(self, 1, finer=self.finer)
        above(self, 0, amount=list(self.amount))
        at_least(self, self.amount[0], **{"greatest amount": self.amount[1]})

    @property
    def correlation(self) -> float:
        """Of pixels beside each other."""
        n = self.finer
        offsets = np.arange(-n, n + 1) + 0.5 * (1 - n % 2)
        weights = (n - np.abs(offsets)).clip(0)
        return float((weights[n:] * weights[:-n]).sum() / (weights * weights).sum())

    def change(self, exposure: Exposure, rng: np.random.Generator, portable: bool) -> Exposure:
        """Return an exposure with noise of this kind; half as much again on a portable film.

        Args:
            exposure: As it was drawn.
            rng: The stream of this film's noise.
            portable: Whether it is an AP film.
        """
        amount = math.exp(rng.uniform(*np.log(self.amount)))
        return replace(exposure, noise=amount * (1.5 if portable else 1.0), grain=self.correlation)
