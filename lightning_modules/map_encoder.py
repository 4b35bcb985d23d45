"""The base of convolutional image towers: the places of their last feature map are the patches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from lightning_modules.encoders import EncoderOutput, ImageEncoder
from lightning_modules.pretrained import load_tower
from lightning_modules.tones import Tones, widen


class MapEncoder(ImageEncoder):
    """A convolutional network of `transformers` whose last map is read place by place.

    Objectives and tasks that compare words with regions, ground phrases or segment find patches here as a
    vision transformer gives them: one for each 32 × 32 px, row by row. The pooled features are their mean. So
    with a linear projection the projected patches add up to the image's own vector.

    A subclass says how its network is configured (`configuration`) and which convolution reads the image
    (`first_convolution`).

    Args:
        image_size: Side of the square images, px; a multiple of 32.
        width: Channels of the last stage; each stage before has half as many.
        depths: Blocks of each stage, four of them.
        pretrained: Directory or ``hub:owner/name`` of such a network; None trains from scratch. Weights for
            three channels are summed over them.
        mean: Grey level to subtract from every image, of [0, 1]; None standardises each image by its own.
        std: Grey-level deviation to divide by; given together with `mean`.
        projection_dim: Dimension of the shared space.
        projection_hidden: Hidden width of a two-layer projection; None for a linear one.
        tones: ``plain``, ``equalised``, ``both`` (two channels) or ``random`` (either in training): see
            `lightning_modules.tones`. Equalised, `mean` and `std` do not apply.

    Raises:
        ValueError: If arguments contradict each other or the checkpoint.
    """

    patch_size = 32

    def __init__(
        self,
        image_size: int,
        width: int,
        depths: Sequence[int],
        pretrained: str | None = None,
        mean: float | None = None,
        std: float | None = None,
        projection_dim: int = 128,
        projection_hidden: int | None = None,
        tones: Tones = "plain",
    ) -> None:
        super().__init__(width, projection_dim, projection_hidden)
        self.tones = tones
        kind = type(self).__name__
        if image_size < self.patch_size or image_size % self.patch_size:
            raise ValueError(f"{kind}: image_size is {image_size}: give a multiple of {self.patch_size}")
        if len(depths) != 4 or min(depths) < 1 or width < 16 or width % 16:
            raise ValueError(
                f"{kind}: depths are {list(depths)} and width {width}: give four stages of a block or more, "
                "and a multiple of 16 channels"
            )
        self.image_size, self.mean, self.std, self.depths = image_size, mean, std, list(depths)
        self.check_normalisation()
        self.widths = [width // 8, width // 4, width // 2, width]
        sizes = {"depths": ("depths", self.depths), "width": ("hidden_sizes", self.widths)}
        if pretrained is None:
            self.replace_tower(self.configured())
        else:
            tower = load_tower(pretrained, 0.0, sizes)
            self._make_grey(tower)
            if self.channels != 1:
                widen(getattr(*self.first_convolution(tower)), self.channels)
                _set_channels(tower, self.channels)
            self.replace_tower(tower)

    @abstractmethod
    def configured(self) -> Any:
        """Return the network with random weights, for `channels` channels."""

    @abstractmethod
    def first_convolution(self, tower: Any) -> tuple[nn.Module, str]:
        """Return the module that holds the convolution over the image, and the name it has there."""

    @property
    def stem(self) -> nn.Module:
        """What reads the image before the first stage."""
        return self.first_convolution(self.tower)[0]

    def replace_tower(self, tower: Any) -> None:
        """Take another network of the same sizes.

        Args:
            tower: A model of `transformers` for as many channels.
        """
        self.tower = tower

    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the images.

        Raises:
            ValueError: If they have another size.
        """
        local = self.tokens(self.tower(self.normalised(batch)).last_hidden_state.flatten(2).transpose(1, 2))
        mask = torch.ones(local.shape[:2], dtype=torch.bool, device=local.device)
        return self.output(local.mean(1), local, mask)

    def tokens(self, places: Tensor) -> Tensor:
        """Return the patches of the places of the last map, ``(batch, place, width)``: as they are."""
        return places

    def hidden_maps(self, batch: Batch) -> list[Tensor]:
        """See `ImageEncoder.hidden_maps`: a map a stage, at a quarter to a 32nd of the resolution."""
        states = self.tower(self.normalised(batch), output_hidden_states=True).hidden_states
        return list(states[-len(self.depths) :])

    @property
    def pyramid_widths(self) -> tuple[int, ...]:
        """See `ImageEncoder.pyramid_widths`."""
        return tuple(self.widths)

    @property
    def finest_stride(self) -> int:
        """See `ImageEncoder.finest_stride`."""
        return 4

    def pyramid(self, batch: Batch) -> list[Tensor]:
        """See `ImageEncoder.pyramid`: a map a stage."""
        return self.hidden_maps(batch)

    def exported_arguments(self) -> dict[str, Any]:
        """See `ImageEncoder.exported_arguments`."""
        return {
            "image_size": self.image_size,
            "width": self.width,
            "depths": self.depths,
            "mean": self.mean,
            "std": self.std,
            "tones": self.tones,
            "projection_dim": self.projection_dim,
        }

    def _make_grey(self, tower: Any) -> None:
        """Sum the kernel over the channels: exactly what a grey image repeated over them meets."""
        owner, name = self.first_convolution(tower)
        convolution: nn.Conv2d = getattr(owner, name)
        if convolution.in_channels == 1:
            return
        convolution.weight = nn.Parameter(convolution.weight.detach().sum(1, keepdim=True))
        convolution.in_channels = 1
        _set_channels(tower, 1)


def _set_channels(tower: Any, channels: int) -> None:
    tower.config.num_channels = channels
    for module in tower.modules():
        if hasattr(module, "num_channels"):
            module.num_channels = channels
