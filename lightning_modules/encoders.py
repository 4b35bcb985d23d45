"""What every tower gives: an image or a report as pooled, local and projected features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import IMAGE, Batch
from lightning_modules.tones import EQUALISED, Tones, channels_of, check_tones, drawn, in_tones
from synthesis.limits import at_least

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pooling = Literal["mean", "cls"]


@dataclass
class EncoderOutput:
    """Features of one batch from one tower.

    Attributes:
        pooled: One vector a sample, ``(batch, dim)``: what probes and downstream tasks read.
        local: Its tokens, ``(batch, token, dim)``: image patches row by row (in training only those kept by
            patch dropping, in no order), or word pieces with the special ones.
        projected: ``(batch, projection)`` float32 of length 1: what pairs are compared by.
        local_mask: ``(batch, token)`` bool, False where a token is padding.
    """

    pooled: Tensor
    local: Tensor
    projected: Tensor
    local_mask: Tensor


@dataclass
class EncodedTwins:
    """Features of the counterfactual twins of a batch, row by row: the same patients less one finding each.

    Attributes:
        images: Features of the twins' images.
        texts: Features of the twins' reports; None where only the images are compared.
        differs: ``(batch,)`` bool, False where a patient has no twin (nothing to switch off); the features
            of that row are then those of the patient.
    """

    images: EncoderOutput
    texts: EncoderOutput | None
    differs: Tensor


@dataclass
class EncodedPrompts:
    """Features of a prompt that asserts and of one that denies the finding that a twin lacks, row by row.

    Attributes:
        present: Features of the prompts that assert it.
        absent: Features of those that deny it.
    """

    present: EncoderOutput
    absent: EncoderOutput


@dataclass
class EncodedExchange:
    """Features of the texts of a batch with left and right exchanged, row by row.

    Attributes:
        texts: Their features.
        contradicts: ``(batch,)`` bool, whether the text became false by that.
    """

    texts: EncoderOutput
    contradicts: Tensor


class Encoder(nn.Module, ABC):
    """A tower with a projection into the space shared by both.

    Args:
        width: Dimension of the pooled features.
        projection_dim: Dimension of the shared space.
        projection_hidden: Hidden width of a two-layer projection (GELU between); None for a linear one.
    """

    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments, for `untrained`."""
        encoder = super().__new__(cls)
        encoder.__dict__["_made_with"] = args, kwargs
        return encoder

    def __init__(self, width: int, projection_dim: int, projection_hidden: int | None = None) -> None:
        at_least(self, 1, width=width, projection_dim=projection_dim)
        if projection_hidden is not None:
            at_least(self, 1, projection_hidden=projection_hidden)
        super().__init__()
        self.width = width
        self.projection_dim = projection_dim
        if projection_hidden is None:
            self.projection: nn.Module = nn.Linear(width, projection_dim, bias=False)
        else:
            first, last = (
                nn.Linear(width, projection_hidden),
                nn.Linear(projection_hidden, projection_dim, bias=False),
            )
            self.projection = nn.Sequential(first, nn.GELU(), last)

    @abstractmethod
    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the images or the reports of a batch (see ``datamodules/batch.py``)."""

    def untrained(self, seed: int) -> Self:
        """Return another tower as this one was when training began: made by the same constructor.

        With all that belongs to its initialisation (a quiet start, pretrained weights); what it draws is the
        same for a seed on any machine.

        Args:
            seed: Of the weights.

        Returns:
            The tower, on the CPU.

        Raises:
            TypeError: If the tower was given modules, which it would share with the new one.
        """
        args, kwargs = self._made_with
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, nn.Module)]
        if given:
            raise TypeError(
                f"{type(self).__name__} was given {', '.join(type(m).__name__ for m in given)}, which may be "
                "trained by now: override `untrained`, or leave callbacks.ProbeFloors out"
            )
        # Tests run in inference mode; what is made there could not be moved to another device.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return type(self)(*args, **kwargs)

    def output(self, pooled: Tensor, local: Tensor, local_mask: Tensor) -> EncoderOutput:
        """Add the projection; its norm is taken in float32 whatever the precision."""
        return EncoderOutput(pooled, local, F.normalize(self.projection(pooled).float(), dim=-1), local_mask)


class ImageEncoder(Encoder):
    """A tower that reads ``batch["image"]``, float32 ``(batch, 1, height, width)`` in [0, 1].

    Attributes:
        image_size: Side of the square images, px.
        patch_size: Side of the square that a patch (a row of ``local``) stands for, px.
        mean: Grey level to subtract from every image; None standardises each image by its own mean and
            deviation, so that exposure and windowing matter less.
        std: Grey-level deviation to divide by; None together with `mean`.
        tones: Whether the network sees tones as they are, equalised, or both: see `Tones`.
    """

    image_size: int
    patch_size: int
    mean: float | None = None
    std: float | None = None
    tones: Tones = "plain"

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        return channels_of(self.tones)

    def check_normalisation(self) -> None:
        """Refuse a mean without a deviation, and tones that there are not.

        Raises:
            ValueError: If only one of the two is given, or `tones` is unknown.
        """
        check_tones(self, self.tones)
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                f"{type(self).__name__}: mean is {self.mean} and std {self.std}: give both, or neither to "
                "standardise each image"
            )

    def normalised(self, batch: Batch) -> Tensor:
        """Return the images as the network takes them, for models that run parts of it themselves.

        Raises:
            ValueError: If they have another size.
        """
        image = self.sized(batch)
        if self.mean is not None and self.std is not None:
            plain = (image - self.mean) / self.std
        else:
            plain = F.layer_norm(image, image.shape[1:], eps=1e-6)  # a blank image becomes 0
        return in_tones(image, plain, self.tones, self.with_tones(batch).get(EQUALISED))

    def with_tones(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the batch with the tones that training shows it in (`EQUALISED`), where these are drawn.

        What is to be seen in the same tones as these images, such as their twins, gets that key from here.
        """
        if self.tones != "random" or not self.training or EQUALISED in batch:
            return batch
        return {**batch, EQUALISED: drawn(len(batch[IMAGE]), batch[IMAGE].device)}

    def sized(self, batch: Batch) -> Tensor:
        """Return the images of a batch, of the size that the tower takes.

        Raises:
            ValueError: If they have another size.
        """
        image: Tensor = batch[IMAGE]
        if image.shape[1:] != (1, self.image_size, self.image_size):
            raise ValueError(
                f"{type(self).__name__}: images are {tuple(image.shape[1:])} (channel, height, width), the "
                f"encoder takes (1, {self.image_size}, {self.image_size}): set its image_size or the data's"
            )
        return image

    def hidden_maps(self, batch: Batch) -> list[Tensor]:
        """Return feature maps of several depths, for decoders: ``(batch, channel, rows, columns)`` each.

        Raises:
            ValueError: If the tower has none.
        """
        raise ValueError(f"{type(self).__name__} has no feature maps: choose a tower that has")

    @property
    def pyramid_widths(self) -> tuple[int, ...]:
        """Channels of `pyramid`'s maps."""
        return self.width, self.width

    @property
    def finest_stride(self) -> int:
        """Pixels that a place of the first map of `pyramid` stands for, along a side."""
        return self.patch_size

    def pyramid(self, batch: Batch) -> list[Tensor]:
        """Return feature maps from the finest to the coarsest, ``(batch, channel, rows, columns)`` each.

        By default those of half the depth and of the last block, both of a place a patch.

        Raises:
            ValueError: As `hidden_maps`.
        """
        maps = self.hidden_maps(batch)
        return [maps[(len(maps) - 1) // 2], maps[-1]]

    def exported_arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments that a tower like this one is built from, without weights.

        Raises:
            ValueError: If the tower cannot be exported.
        """
        raise ValueError(
            f"cannot export {type(self).__name__}: give it a `tower` of transformers, and this method"
        )

    def project_local(self, output: EncoderOutput) -> Tensor:
        """Bring patches into the shared space: what each adds to the projection of its image.

        By default the projection of every patch by itself. After a mean over patches and a linear projection
        their mean is the image's own, before its norm is taken. A tower with another pooling overrides this.

        Args:
            output: What the tower returned, in evaluation (no patches dropped).

        Returns:
            ``(batch, token, projection)`` float32, not normalised.
        """
        return self.projection(output.local).float()


class TextEncoder(Encoder):
    """A tower that reads ``batch["input_ids"]`` and ``batch["attention_mask"]``, int64 ``(batch, token)``.

    Attributes:
        max_length: Most tokens a text may have.
    """

    max_length: int

    @abstractmethod
    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Make sure that the tower understands a tokenizer's numbers.

        Raises:
            ValueError: If it does not, with the remedy.
        """
