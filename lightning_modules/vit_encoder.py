"""The image tower: a vision transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from datamodules.batch import IMAGE, Batch
from lightning_modules.adaptation import Adaptation
from lightning_modules.attention import choose_attention
from lightning_modules.convolutional_stem import ConvolutionalStem
from lightning_modules.encoders import EncoderOutput, ImageEncoder
from lightning_modules.pretrained import load_tower, make_grey, resize_positions
from lightning_modules.tones import Tones, widen
from synthesis.limits import at_least, below

ImagePooling = Literal["mean", "cls", "spatial"]


class ViTEncoder(ImageEncoder):
    """A vision transformer of `transformers`, from scratch or from a directory or the hub.

    Sizes default to what two CPU cores train in minutes; 224, 16, 768, 12, 12 is ViT-B/16. With
    `pretrained`, sizes must be those of the checkpoint (an error says which they are), but for
    `image_size`: position embeddings are interpolated. Weights for three channels are summed over them,
    which gives exactly what a grey image repeated thrice would.

    Args:
        image_size: Side of the square images, px.
        patch_size: Side of a patch, px.
        width: Width of the tokens.
        layers: Number of transformer blocks.
        heads: Attention heads a block.
        dropout: Dropout rate of the blocks.
        pretrained: Directory or ``hub:owner/name`` of a ViT or DINOv2 model; None trains from scratch.
        stem_channels: Channels of a `ConvolutionalStem`; None embeds patches linearly. Only from scratch.
        patch_drop: Share of the patches left out in training, another choice for each image and step, in
            [0, 1): Li et al. 2023, "Scaling Language-Image Pre-training via Masking" (FLIP, arXiv
            2212.00794). At 0.5 a step costs half.
        pooling: ``mean`` of the patches, the ``cls`` token, or ``spatial``: all patches laid side by side
            and mixed by one linear layer and a ReLU. Where a finding lies is part of what it is on a
            radiograph, which a mean over patches has to learn first.
        quiet_start: Begin with every residual branch at zero, so that the blocks are the identity at first
            and the stem learns undisturbed (Bachlechner et al. 2021, ReZero, arXiv 2003.04887). Only from
            scratch.
        mean: Grey level subtracted from every image; None standardises each image by its own mean and
            deviation, so that exposure and windowing matter less.
        std: Grey-level deviation to divide by; given together with `mean`.
        projection_dim: Dimension of the shared space.
        projection_hidden: Hidden width of a two-layer projection; None for a linear one.
        gradient_checkpointing: Recompute the blocks in the backward pass: less memory, a third more time.
        adaptation: Which weights are trained; None trains all.
        tones: ``plain``, ``equalised``, ``both`` (two channels) or ``random`` (either in training): see
            `lightning_modules.tones`. Equalised, `mean` and `std` do not apply.

    Raises:
        ValueError: If arguments contradict each other or the checkpoint.
    """

    def __init__(
        self,
        image_size: int = 128,
        patch_size: int = 16,
        width: int = 192,
        layers: int = 6,
        heads: int = 3,
        dropout: float = 0.0,
        pretrained: str | None = None,
        stem_channels: Sequence[int] | None = None,
        patch_drop: float = 0.0,
        pooling: ImagePooling = "mean",
        quiet_start: bool = False,
        mean: float | None = None,
        std: float | None = None,
        projection_dim: int = 128,
        projection_hidden: int | None = None,
        gradient_checkpointing: bool = False,
        adaptation: Adaptation | None = None,
        tones: Tones = "plain",
    ) -> None:
        at_least(
            self, 1, image_size=image_size, patch_size=patch_size, width=width, layers=layers, heads=heads
        )
        at_least(self, 1, projection_dim=projection_dim, stem_channels=stem_channels or ())
        below(self, 1, dropout=dropout)
        super().__init__(width, projection_dim, projection_hidden)
        self.image_size = image_size
        self.patch_size = patch_size
        self.patch_drop = patch_drop
        self.pooling = pooling
        self.mean = mean
        self.std = std
        self.tones = tones
        sizes = {
            "patch_size": ("patch_size", patch_size),
            "width": ("hidden_size", width),
            "layers": ("num_hidden_layers", layers),
            "heads": ("num_attention_heads", heads),
        }
        self._check(width, heads, pretrained, stem_channels, quiet_start)
        self.stem_channels = stem_channels
        self.vit = _vit(pretrained, image_size, dropout, sizes, self.channels)
        if stem_channels is not None:
            stem = ConvolutionalStem(stem_channels, width, patch_size, self.channels)
            self.vit.embeddings.patch_embeddings = stem
        self.replace_tower(self.vit)
        if pooling == "spatial":
            positions = (image_size // patch_size) ** 2
            self.mix = nn.Linear(positions * width, width)
        if quiet_start:
            for name, parameter in self.vit.named_parameters():
                if name.endswith(("o_proj.weight", "fc2.weight", "output.dense.weight")):
                    nn.init.zeros_(parameter)
        if gradient_checkpointing:
            self.vit.gradient_checkpointing_enable()
        if adaptation is not None:
            adaptation.apply(self.vit, pretrained)

    @property
    def stem(self) -> nn.Module:
        """What turns the image into tokens."""
        stem: nn.Module = self.vit.embeddings.patch_embeddings
        return stem

    @property
    def tower(self) -> Any:
        """The transformer."""
        return self.vit

    def exported_arguments(self) -> dict[str, Any]:
        """See `ImageEncoder.exported_arguments`."""
        vit = self.vit.config
        return {
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "width": self.width,
            "layers": vit.num_hidden_layers,
            "heads": vit.num_attention_heads,
            "stem_channels": None if self.stem_channels is None else list(self.stem_channels),
            "pooling": self.pooling,
            "mean": self.mean,
            "std": self.std,
            "tones": self.tones,
            "projection_dim": self.projection_dim,
        }

    def replace_tower(self, vit: Any) -> None:
        """Take another transformer of the same sizes, without its pooler; a convolutional stem stays.

        Args:
            vit: A `transformers` ViT or DINOv2 model for as many channels.
        """
        vit.pooler = vit.embeddings.mask_token = None  # never used here, and DDP refuses what has no gradient
        if self.stem_channels is not None:
            vit.embeddings.patch_embeddings = self.vit.embeddings.patch_embeddings
        self.vit = vit
        self._special = 1 + getattr(vit.config, "num_register_tokens", 0)  # [CLS] and registers go first
        vit.embeddings.register_forward_hook(self._drop_patches)

    def _check(
        self, width: int, heads: int, pretrained: str | None, stem: Sequence[int] | None, quiet: bool
    ) -> None:
        if not 0 <= self.patch_drop < 1:
            raise ValueError(f"ViTEncoder: patch_drop is {self.patch_drop}: give a share in [0, 1)")
        if self.pooling == "spatial" and self.patch_drop:
            raise ValueError(
                f"ViTEncoder: patch_drop {self.patch_drop} leaves holes that spatial pooling cannot have: "
                "set patch_drop to 0 or pooling to mean"
            )
        self.check_normalisation()
        for name, size, part, divisor in (
            ("image_size", self.image_size, "patch_size", self.patch_size),
            ("width", width, "heads", heads),
        ):
            if size % divisor:
                raise ValueError(
                    f"ViTEncoder: {name}={size} is no multiple of {part}={divisor}: give one "
                    "that is, such as "
                    f"{max(1, round(size / divisor)) * divisor}, or another {part}"
                )
        if quiet and pretrained is not None:
            raise ValueError(
                "ViTEncoder: quiet_start would wipe trained weights "
                f"(pretrained={pretrained!r}): set it to false"
            )
        if stem is not None and pretrained is not None:
            raise ValueError(
                f"ViTEncoder: stem_channels would replace trained weights of {pretrained!r}: give one only"
            )

    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the images.

        Raises:
            ValueError: If they have another size.
        """
        tokens = self.vit(self.normalised(batch)).last_hidden_state
        local = tokens[:, self._special :]
        pooled = self._pool(tokens[:, 0], local)
        return self.output(pooled, local, torch.ones(local.shape[:2], dtype=torch.bool, device=local.device))

    def normalised(self, batch: Batch) -> Tensor:
        """See `ImageEncoder.normalised`."""
        choose_attention(self.vit, batch[IMAGE].device)
        return super().normalised(batch)

    def hidden_maps(self, batch: Batch) -> list[Tensor]:
        """Return the patches after every block as maps, for decoders that need several depths.

        Returns:
            One ``(batch, width, rows, columns)`` a block, from the first to the last (after its norm).

        Raises:
            ValueError: If patches are dropped in training: the maps would have holes.
        """
        if self.patch_drop:
            raise ValueError(f"ViTEncoder: patch_drop {self.patch_drop} leaves holes in maps: set it to 0")
        output = self.vit(self.normalised(batch), output_hidden_states=True)
        # The first of the hidden states are the embeddings; the norm comes after the last.
        tokens = [*output.hidden_states[1:-1], output.last_hidden_state]
        side = self.image_size // self.patch_size
        return [t[:, self._special :].transpose(1, 2).unflatten(2, (side, side)) for t in tokens]

    @property
    def pyramid_widths(self) -> tuple[int, ...]:
        """See `ImageEncoder.pyramid_widths`."""
        return *(self.stem_channels or ()), *super().pyramid_widths

    @property
    def finest_stride(self) -> int:
        """See `ImageEncoder.finest_stride`."""
        return self.patch_size if self.stem_channels is None else 2

    def pyramid(self, batch: Batch) -> list[Tensor]:
        """See `ImageEncoder.pyramid`: a convolutional stem's maps come before those of the blocks."""
        stem = self.stem
        if not isinstance(stem, ConvolutionalStem):
            return super().pyramid(batch)
        with stem.stages() as stages:
            blocks = super().pyramid(batch)
        return [*stages, *blocks]

    def _pool(self, cls: Tensor, local: Tensor) -> Tensor:
        if self.pooling == "spatial":
            return torch.relu(self.mix(local.flatten(1)))
        return local.mean(1) if self.pooling == "mean" else cls

    def project_local(self, output: EncoderOutput) -> Tensor:
        """See `ImageEncoder.project_local`.

        Spatial pooling is a sum over patches under a ReLU whose state is known, so with a linear projection
        these vectors and the bias's add up to the image's own, exactly.
        """
        if self.pooling != "spatial":
            return super().project_local(output)
        tokens, width = output.local.shape[1:]
        blocks = self.mix.weight.unflatten(1, (tokens, width)).to(output.local.dtype)
        added = torch.einsum("otw,btw->bto", blocks, output.local)
        return self.projection(added * (output.pooled > 0)[:, None]).float()

    def _drop_patches(self, module: nn.Module, inputs: tuple[Any, ...], tokens: Tensor) -> Tensor | None:
        if not self.training or self.patch_drop == 0:
            return None  # the hook then leaves the tokens as they are
        special, patches = tokens[:, : self._special], tokens[:, self._special :]
        count = max(1, round(patches.shape[1] * (1 - self.patch_drop)))
        order = torch.rand(patches.shape[:2], device=tokens.device).argsort(1)[:, :count]
        kept = patches.gather(1, order[..., None].expand(-1, -1, patches.shape[2]))
        return torch.cat([special, kept], dim=1)


def _vit(
    pretrained: str | None,
    image_size: int,
    dropout: float,
    sizes: Mapping[str, tuple[str, int]],
    channels: int,
) -> Any:
    from transformers import ViTConfig, ViTModel

    if pretrained is None:
        config = ViTConfig(
            num_channels=channels,
            image_size=image_size,
            intermediate_size=4 * sizes["width"][1],
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            **dict(sizes.values()),
        )
        return ViTModel(config, add_pooling_layer=False)
    vit = load_tower(pretrained, dropout, sizes)
    if vit.config.num_channels != 1:
        make_grey(vit)
    if channels != 1:
        widen(vit.embeddings.patch_embeddings.projection, channels)
        vit.embeddings.patch_embeddings.num_channels = vit.config.num_channels = channels
    if vit.config.image_size != image_size:
        resize_positions(vit, image_size, sizes["patch_size"][1])
    return vit
