"""Images by a conditional generative adversarial network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthesis.images.latent_image_maker import LatentImageMaker
from synthesis.limits import above


class AdversarialImageMaker(LatentImageMaker):
    """Draws with the generator of a `ConditionalGAN`.

    Args:
        truncation: Entries of the latent beyond ± this are drawn again (Brock et al. 2019, BigGAN, arXiv
            1809.11096): less variety for fewer odd images. None leaves them.
        **kwargs: Those of `LatentImageMaker`.

    Raises:
        ValueError: If the truncation is under 0.1, where next to nothing would pass.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "adversarial"

    def __init__(self, truncation: float | None = None, **kwargs: Any) -> None:
        if truncation is not None:
            above(self, 0, truncation=truncation)
        super().__init__(**kwargs)
        if truncation is not None and truncation < 0.1:
            raise ValueError(f"truncation={truncation}: give 0.1 or more, or null for none")
        self.truncation = truncation

    def latent(self, rng: np.random.Generator, length: int) -> npt.NDArray[np.float64]:
        """Return a normal latent, truncated if so wanted."""
        latent = rng.standard_normal(length)
        if self.truncation is not None:
            while (outside := np.abs(latent) > self.truncation).any():
                latent[outside] = rng.standard_normal(int(outside.sum()))
        return latent

    def describe(self) -> dict[str, Any]:
        """Return what the images depend on, for fingerprints."""
        return super().describe() | {"truncation": self.truncation}
