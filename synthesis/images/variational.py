"""Images by a conditional variational autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from synthesis.images.latent_image_maker import LatentImageMaker
from synthesis.limits import at_least


class VariationalImageMaker(LatentImageMaker):
    """Draws the mean of the decoder of a `ConditionalVAE` for a latent from the prior.

    The prior is that of the report where the export has one, else the standard normal.

    Args:
        temperature: Deviation of the latents, in deviations of the prior; below 1 images are more alike and
            less often odd.
        **kwargs: Those of `LatentImageMaker`.

    Raises:
        ValueError: If the temperature is not positive.
        FileNotFoundError: If the export says that it has a prior, and there is none.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "variational"

    def __init__(self, temperature: float = 1.0, **kwargs: Any) -> None:
        at_least(self, 0, temperature=temperature)
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: a standard deviation; give a number above 0")
        self.temperature = temperature
        self._prior: Any = None
        if self._has_prior and not self._prior_file.is_file():
            raise FileNotFoundError(
                f"{self.directory.path} tells of a prior, but holds no {self._prior_file.name}; "
                "copy the export again, or write it from the checkpoint with scripts.exports.export_generator"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the networks out when a worker process gets a copy: it loads its own."""
        return super().__getstate__() | {"_prior": None}

    def latent(self, rng: np.random.Generator, length: int) -> npt.NDArray[np.float64]:
        """Return a normal latent of the chosen deviation."""
        return rng.standard_normal(length) * self.temperature

    def placed(self, latents: Tensor, pooled: Tensor) -> Tensor:
        """Return the latents, moved and scaled as the prior of their reports says."""
        if not self._has_prior:
            return latents
        limit = float(self.directory.settings["prior"]["log_variance"])
        mean, log_variance = self._loaded_prior()(pooled).chunk(2, 1)
        return mean + latents * (0.5 * log_variance.clamp(-limit, limit)).exp()

    def describe(self) -> dict[str, Any]:
        """Return what the images depend on, for fingerprints."""
        return super().describe() | {"temperature": self.temperature}

    @property
    def _has_prior(self) -> bool:
        return "prior" in self.directory.settings

    @property
    def _prior_file(self) -> Path:
        return self.directory.path / "prior.safetensors"

    def _loaded_prior(self) -> Any:
        if self._prior is None:
            from monai.networks.nets import FullyConnectedNet
            from safetensors.torch import load_file

            prior = FullyConnectedNet(**self.directory.settings["prior"]["arguments"])
            prior.load_state_dict(load_file(self._prior_file))
            self._prior = prior.eval().to(self.device)
        return self._prior
