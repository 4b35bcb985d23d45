"""The first stage of latent diffusion: images to small latents and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW

from datamodules.batch import Batch
from lightning_modules.contexts import seeded
from lightning_modules.generators.images import images_of
from lightning_modules.optimization import parameter_groups
from synthesis.limits import at_least


class LatentAutoencoder(LightningModule):
    """`diffusers.AutoencoderKL` for grey images, with a faint KL (Rombach et al. 2022, arXiv 2112.10752).

    Loss: L1 of the image, L1 of its gradients (lines, edges and tubes are few pixels, and they are what blurs
    first), and `kl_weight` times the KL to a standard normal. There is no adversarial term: at a compression
    of 4 to 8 values a latent little detail is lost, and at 512 px one fine-tunes an autoencoder that has
    been trained for weeks.

    The spread of the latents is followed in a running average; the export states its inverse as
    ``scaling_factor``, so that what the diffusion sees has unit variance.

    Logs ``loss``, ``l1``, ``edges``, ``kl`` (nats a latent) and, in training, ``latent_std``.

    Args:
        image_size: Side of the images, px; recorded in the export.
        channels: Channels of each resolution; every one but the first halves the image.
        latent_channels: Channels of the latents.
        layers: Residual blocks a resolution.
        edges: Weight of the gradients' term.
        kl_weight: Weight of the KL.
        learning_rate: Learning rate, after `warmup` constant: see `Generator`.
        warmup: Steps in which it rises.
        seed: Of everything drawn in training.
    """

    latent_std: Tensor

    def __init__(
        self,
        image_size: int = 64,
        channels: Sequence[int] = (32, 64, 64),
        latent_channels: int = 4,
        layers: int = 1,
        edges: float = 1.0,
        kl_weight: float = 1e-5,
        learning_rate: float = 1e-3,
        warmup: int = 200,
        seed: int = 0,
    ) -> None:
        at_least(
            self, 1, image_size=image_size, channels=channels, latent_channels=latent_channels, layers=layers
        )
        at_least(self, 0, edges=edges, kl_weight=kl_weight)
        at_least(self, 0, learning_rate=learning_rate, warmup=warmup, seed=seed)
        super().__init__()
        from diffusers import AutoencoderKL

        self.save_hyperparameters()
        self.edges, self.kl_weight = edges, kl_weight
        self.learning_rate, self.warmup, self.seed = learning_rate, warmup, seed
        self.autoencoder = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            latent_channels=latent_channels,
            norm_num_groups=16,
            sample_size=image_size,
            force_upcast=False,
        )
        self.register_buffer("latent_std", torch.ones(()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            loss, latents = self._loss(batch, "train")
        # An average with weight 1 for the first batch, never less than a hundredth.
        share = max(0.01, 1 / (1 + self.global_step))
        self.latent_std.lerp_(latents.detach().float().std(), share)
        self.log("train/latent_std", self.latent_std, batch_size=len(latents))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss, the same noise in every epoch."""
        with seeded(self.device, self.seed, self.global_rank, batch_idx):
            self._loss(batch, "val")

    test_step = validation_step

    def _loss(self, batch: Batch, stage: str) -> tuple[Tensor, Tensor]:
        image = 2 * images_of(batch, self.autoencoder.config.sample_size) - 1
        posterior = self.autoencoder.encode(image).latent_dist
        latents = posterior.sample()
        made = self.autoencoder.decode(latents).sample.float()
        figures = {
            "l1": F.l1_loss(made, image),
            "edges": sum(F.l1_loss(made.diff(dim=d), image.diff(dim=d)) for d in (2, 3)),
            "kl": posterior.kl().mean() / latents[0].numel(),
        }
        loss = figures["l1"] + self.edges * figures["edges"] + self.kl_weight * figures["kl"]
        for name, value in {"loss": loss, **figures}.items():
            self.log(
                f"{stage}/{name}",
                torch.as_tensor(value).detach(),
                prog_bar=name == "loss",
                batch_size=len(image),
                sync_dist=stage != "train",
            )
        return loss, latents

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW without decay, and a learning rate that rises and stays."""
        from transformers import get_constant_schedule_with_warmup

        optimizer = AdamW(parameter_groups(self, 0.0), lr=self.learning_rate, betas=(0.9, 0.99))
        schedule = get_constant_schedule_with_warmup(optimizer, self.warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export(self, directory: Path) -> None:
        """Write the directory that ``diffusers.AutoencoderKL.from_pretrained`` opens."""
        self.autoencoder.register_to_config(scaling_factor=1 / max(float(self.latent_std), 1e-6))
        self.autoencoder.save_pretrained(directory)
