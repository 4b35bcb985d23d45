"""A power law fitted to errors: error = a · size^slope, as in Cherti et al. 2023, arXiv:2212.07143."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_POINTS = 3

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScalingLaw:
    """A straight line through the logarithms of sizes and errors.

    Attributes:
        slope: Its slope, negative where more is better.
        factor: The error at size 1.
        explained: Share of the variance of the logarithms that it explains, in [0, 1].
    """

    slope: float
    factor: float
    explained: float

    @classmethod
    def fit(cls, sizes: Sequence[float] | Array, errors: Sequence[float] | Array) -> ScalingLaw:
        """Fit by least squares of the logarithms.

        Args:
            sizes: At least `LEAST_POINTS` different ones, over 0.
            errors: One a size, over 0.

        Raises:
            ValueError: If there are fewer points, or one of them has no logarithm.
        """
        from scipy.stats import linregress

        x, y = np.asarray(sizes, float), np.asarray(errors, float)
        if len(set(x)) < LEAST_POINTS or len(x) != len(y) or not ((x > 0).all() and (y > 0).all()):
            raise ValueError(
                f"sizes={list(x)}, errors={list(y)}: a law takes {LEAST_POINTS} sizes, errors over 0"
            )
        line = linregress(np.log(x), np.log(y))
        return cls(float(line.slope), math.exp(line.intercept), float(line.rvalue) ** 2)

    def error(self, sizes: Array) -> Array:
        """Return the errors that it gives for sizes."""
        return self.factor * np.asarray(sizes, float) ** self.slope

    def size(self, error: float) -> float:
        """Return the size at which it comes down to an error; infinity where it does not come down."""
        if self.slope >= 0 or error <= 0:
            return math.inf
        exponent = math.log(error / self.factor) / self.slope
        return math.exp(exponent) if exponent < 700 else math.inf
