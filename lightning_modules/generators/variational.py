"""A conditional variational autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import IMAGE, Batch
from lightning_modules.contexts import seeded
from lightning_modules.generators.generator import Generator
from lightning_modules.generators.latent_decoder import LatentDecoder, image_regressor
from lightning_modules.generators.report_encoder import ReportEncoder
from synthesis.limits import at_least


class ConditionalVAE(Generator):
    """Kingma & Welling 2014 (arXiv 1312.6114), conditioned as by Sohn et al. (NeurIPS 2015).

    The posterior sees image and report, the decoder latent and report, the prior is a standard normal. The
    decoder's variance is the one that is best for the batch, in closed form (Rybkin et al. 2021, σ-VAE, arXiv
    2006.13202): likelihood and KL then weigh what the evidence bound says, with no β to tune.

    Logs ``loss`` (negative evidence bound in nats a pixel, up to a constant), ``kl`` (nats an image) and
    ``mse``.

    Args:
        report_encoder: Encodes the prompts.
        image_size: Side of the images, px.
        latent_dim: Length of the latent.
        width: Channels of the decoder at full resolution, a multiple of 8; the encoder begins with twice as
            many at half resolution.
        **kwargs: Those of `Generator`.
    """

    def __init__(
        self,
        report_encoder: ReportEncoder,
        image_size: int = 64,
        latent_dim: int = 128,
        width: int = 16,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, image_size=image_size, latent_dim=latent_dim, width=width)
        super().__init__(report_encoder, **kwargs)
        self.encoder = image_regressor(image_size, 16 * width, 2 * width, norm=("group", {"num_groups": 8}))
        self.posterior = nn.Linear(16 * width + report_encoder.width, 2 * latent_dim)
        self.decoder = LatentDecoder(image_size, latent_dim, report_encoder.width, width)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            return self._loss(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss, the same noise in every epoch."""
        with seeded(self.device, self.seed, self.global_rank, batch_idx):
            self._loss(batch, "val")

    test_step = validation_step

    def _loss(self, batch: Batch, stage: str) -> Tensor:
        image = batch[IMAGE]
        _, pooled = self.report_encoder(self.prompts(batch))
        features = torch.cat([self.encoder(2 * image - 1), pooled], 1)
        mean, log_variance = self.posterior(features).float().chunk(2, 1)
        log_variance = log_variance.clamp(-12, 12)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        mse = (self.decoder(latents, pooled) - image).square().mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = 0.5 * mse.clamp_min(1e-8).log() + kl / image[0].numel()
        for name, value in {"loss": loss, "kl": kl, "mse": mse}.items():
            self.log(
                f"{stage}/{name}",
                value.detach(),
                prog_bar=name == "loss",
                batch_size=len(image),
                sync_dist=stage != "train",
            )
        return loss

    def export(self, directory: Path) -> None:
        """Write the decoder and the text encoder: see `Generator.export`."""
        self.decoder.save(directory, kind="variational", section=self.section)
        self.report_encoder.save(directory)
