"""The image tower of a CLIP-like checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules.batch import Batch
from lightning_modules.adaptation import Adaptation
from lightning_modules.attention import choose_attention
from lightning_modules.encoders import EncoderOutput, ImageEncoder
from lightning_modules.pretrained import colour_statistics
from lightning_modules.pretrained_pair import load_side
from synthesis.limits import at_least


class CLIPImageEncoder(ImageEncoder):
    """The image tower of CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023) or a ViT beside a BERT.

    Pooling and projection are the checkpoint's, so that features are those that `transformers` gives. A grey
    image becomes three equal channels, normalised by the checkpoint's own means and deviations. Its
    objective's temperature is not taken.

    Args:
        pretrained: Directory or ``hub:owner/name`` of a `CLIPModel`, `SiglipModel` or
            `VisionTextDualEncoderModel`, with its image processor.
        image_size: Side of the square images, px, a multiple of the checkpoint's patches; position
            embeddings are interpolated where it is not the checkpoint's.
        width: Width of the checkpoint's patches (an error says what it is); objectives take it from here.
        projection_dim: Dimension of the checkpoint's shared space, likewise.
        adaptation: Which weights are trained; None trains all.

    Raises:
        ValueError: If the directory does not fit.
    """

    channel_means: Tensor
    channel_deviations: Tensor

    def __init__(
        self,
        pretrained: str,
        image_size: int = 224,
        width: int = 768,
        projection_dim: int = 512,
        adaptation: Adaptation | None = None,
    ) -> None:
        at_least(self, 1, image_size=image_size, width=width, projection_dim=projection_dim)
        vision, projection = load_side(pretrained, "vision", width, projection_dim)
        super().__init__(width, projection_dim)
        self.image_size, self.patch_size = image_size, vision.config.patch_size
        if image_size % self.patch_size:
            raise ValueError(
                f"CLIPImageEncoder: image_size {image_size} is no multiple of {self.patch_size}, the side of "
                f"a patch of {pretrained!r}: give a multiple; its own images have "
                f"{vision.config.image_size} px"
            )
        if getattr(vision.config, "vision_use_head", True) is False:
            raise ValueError(
                f"CLIPImageEncoder: {pretrained!r} has no pooling head (vision_use_head: "
                "false): give a model with one"
            )
        if vision.config.num_channels != 3:
            raise ValueError(
                f"CLIPImageEncoder: {pretrained!r} takes {vision.config.num_channels} "
                "channels, not 3: give a model of colour images"
            )
        means, deviations = colour_statistics(pretrained)
        self.register_buffer("channel_means", means, persistent=False)
        self.register_buffer("channel_deviations", deviations, persistent=False)
        self.vision, self.projection = vision, projection
        self._resized = image_size != vision.config.image_size
        if adaptation is not None:
            adaptation.apply(vision, pretrained)

    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the images.

        Raises:
            ValueError: If they have another size.
        """
        output = self._run(batch)
        local = self._patches(output.last_hidden_state)
        if hasattr(self.vision, "post_layernorm") and not hasattr(self.vision, "head"):
            local = self.vision.post_layernorm(local)  # CLIP normalises the pooled token alone
        mask = torch.ones(local.shape[:2], dtype=torch.bool, device=local.device)
        return self.output(output.pooler_output, local, mask)

    def normalised(self, batch: Batch) -> Tensor:
        """See `ImageEncoder.normalised`: three channels."""
        image = self.sized(batch)
        choose_attention(self.vision, image.device)
        return (image - self.channel_means) / self.channel_deviations

    def hidden_maps(self, batch: Batch) -> list[Tensor]:
        """See `ImageEncoder.hidden_maps`: a map a block, all of the same size."""
        states = self._run(batch, output_hidden_states=True).hidden_states[1:]
        side = self.image_size // self.patch_size
        return [self._patches(state).transpose(1, 2).unflatten(2, (side, side)) for state in states]

    def project_local(self, output: EncoderOutput) -> Tensor:
        """See `ImageEncoder.project_local`: each patch as if it were pooled alone."""
        if not hasattr(self.vision, "head"):
            return super().project_local(output)
        alone = output.local.flatten(0, 1)[:, None]
        return self.projection(self.vision.head(alone)).unflatten(0, output.local.shape[:2]).float()

    def _run(self, batch: Batch, **options: Any) -> Any:
        return self.vision(
            pixel_values=self.normalised(batch), interpolate_pos_encoding=self._resized, **options
        )

    def _patches(self, tokens: Tensor) -> Tensor:
        """Leave out the class token, which goes first where there is one."""
        return tokens[:, -((self.image_size // self.patch_size) ** 2) :]
