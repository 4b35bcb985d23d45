"""Where the latents of a report lie, before there is an image of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WEIGHTS = "prior.safetensors"
LOG_VARIANCE = 6.0
"""Bound of the log-variances: a prior that shrinks to a point has an infinite KL."""


class ReportPrior(nn.Module):
    """A normal distribution of latents, with mean and variances that follow from the pooled report.

    MONAI's FullyConnectedNet with one hidden layer. It begins as the standard normal.

    Args:
        latent_dim: Length of the latent.
        condition_dim: Length of the pooled report.
        width: Length of the hidden layer.
    """

    def __init__(self, latent_dim: int, condition_dim: int, width: int) -> None:
        super().__init__()
        from monai.networks.nets import FullyConnectedNet

        self.arguments: dict[str, Any] = {
            "in_channels": condition_dim,
            "out_channels": 2 * latent_dim,
            "hidden_channels": [width],
            "act": "SWISH",
            "adn_ordering": "A",
        }
        self.network = FullyConnectedNet(**self.arguments)
        with torch.no_grad():
            for parameter in self.network.output.parameters():
                parameter.zero_()

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances ``(batch, latent)`` for pooled reports ``(batch, width)``."""
        mean, log_variance = self.network(pooled).float().chunk(2, 1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def save(self, directory: Path) -> dict[str, Any]:
        """Write the weights as safetensors, and return what the settings are to say of them.

        ``monai.networks.nets.FullyConnectedNet(**settings["arguments"])`` takes them; it gives means and
        log-variances, one after the other.
        """
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, directory / WEIGHTS)
        return {
            "network": "monai.networks.nets.FullyConnectedNet",
            "arguments": self.arguments,
            "log_variance": LOG_VARIANCE,
        }
