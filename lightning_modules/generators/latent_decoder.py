"""From a latent and a report to an image in one pass: the network that a VAE and a GAN share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SETTINGS = "generator.json"
WEIGHTS = "generator.safetensors"
_START = 4  # px, where the convolutions begin


class LatentDecoder(nn.Module):
    """MONAI's Generator on a latent and a pooled report, laid side by side.

    Groups of channels are normalised, so that an image does not depend on its batch; the last layer is
    followed by a sigmoid.

    Args:
        image_size: Side of the image, px: 4 times a power of two, 16 or more.
        latent_dim: Length of the latent.
        condition_dim: Length of the pooled report.
        width: Channels at full resolution, a multiple of 8; they double with every halving, up to eightfold.

    Raises:
        ValueError: If the size or the width cannot be made so.
    """

    def __init__(self, image_size: int, latent_dim: int, condition_dim: int, width: int) -> None:
        super().__init__()
        from monai.networks.nets import Generator

        doublings = doublings_of(image_size)
        if width % 8:
            raise ValueError(f"width is {width}: it is normalised in 8 groups, so give a multiple of 8")
        self.image_size, self.latent_dim = image_size, latent_dim
        channels = [width * min(8, 2**k) for k in reversed(range(doublings))]
        self.arguments: dict[str, Any] = {
            "latent_shape": [latent_dim + condition_dim],
            "start_shape": [channels[0], _START, _START],
            "channels": [*channels, 1],
            "strides": [2] * doublings + [1],
            "num_res_units": 1,
            "act": ["leakyrelu", {"negative_slope": 0.2}],
            "norm": ["group", {"num_groups": 8}],
        }
        self.network = Generator(**self.arguments)
        with torch.no_grad():  # begin with grey images: a saturated sigmoid passes next to no gradient
            for parameter in self.network.conv[-1].parameters():
                parameter.mul_(0.1)

    def forward(self, latents: Tensor, pooled: Tensor) -> Tensor:
        """Draw images ``(batch, 1, size, size)`` in [0, 1] from latents and pooled reports."""
        return self.network(torch.cat([latents, pooled.to(latents.dtype)], 1)).float().sigmoid()

    def save(self, directory: Path, **facts: Any) -> None:
        """Write the network: its arguments as JSON, its weights as safetensors.

        ``monai.networks.nets.Generator(**settings["arguments"])`` takes the weights; a sigmoid follows it.

        Args:
            directory: Where they go.
            **facts: What else the settings are to say.
        """
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, directory / WEIGHTS)
        settings = {
            **facts,
            "network": "monai.networks.nets.Generator",
            "arguments": self.arguments,
            "activation": "sigmoid",
            "image_size": self.image_size,
            "latent_dim": self.latent_dim,
        }
        (directory / SETTINGS).write_text(json.dumps(settings, indent=1))


def doublings_of(image_size: int) -> int:
    """Return how often 4 px are doubled to get an image.

    Raises:
        ValueError: If no number of doublings gives that size.
    """
    doublings = (image_size // _START).bit_length() - 1
    if image_size != _START * 2**doublings or doublings < 2:
        raise ValueError(f"image_size is {image_size}: give 4 times a power of two, 16 or more, e.g. 64")
    return doublings


def image_regressor(image_size: int, features: int, width: int, norm: Any) -> nn.Module:
    """Return MONAI's Regressor from images ``(batch, 1, size, size)`` to ``(batch, features)``.

    Args:
        image_size: Side of the image, px: see `doublings_of`.
        features: Length of what comes out.
        width: Channels after the first halving; they double with every further one, up to eightfold.
        norm: Normalisation as MONAI names it; None for none.
    """
    from monai.networks.nets import Regressor

    doublings = doublings_of(image_size)
    return Regressor(
        (1, image_size, image_size),
        (features,),
        channels=[width * min(8, 2**k) for k in range(doublings)],
        strides=[2] * doublings,
        num_res_units=1,
        act=("leakyrelu", {"negative_slope": 0.2}),
        norm=norm,
    )
