"""Images by a conditional variational autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthesis.images.latent_image_maker import LatentImageMaker
from synthesis.limits import at_least


class VariationalImageMaker(LatentImageMaker):
    """Draws the mean of the decoder of a `ConditionalVAE` for a latent from the prior.

    Args:
        temperature: Standard deviation of the prior; below 1 images are more alike and less often odd.
        **kwargs: Those of `LatentImageMaker`.

    Raises:
        ValueError: If the temperature is not positive.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "variational"

    def __init__(self, temperature: float = 1.0, **kwargs: Any) -> None:
        at_least(self, 0, temperature=temperature)
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: a standard deviation; give a number above 0")
        self.temperature = temperature

    def latent(self, rng: np.random.Generator, length: int) -> npt.NDArray[np.float64]:
        """Return a normal latent of the chosen deviation."""
        return rng.standard_normal(length) * self.temperature

    def describe(self) -> dict[str, Any]:
        """Return what the images depend on, for fingerprints."""
        return super().describe() | {"temperature": self.temperature}
