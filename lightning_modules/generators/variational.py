"""A conditional variational autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from lightning_modules.contexts import seeded
from lightning_modules.generators.generator import Generator
from lightning_modules.generators.images import images_of
from lightning_modules.generators.latent_decoder import LatentDecoder, image_regressor
from lightning_modules.generators.report_alignment import ReportAlignment
from lightning_modules.generators.report_encoder import ReportEncoder
from lightning_modules.generators.report_prior import ReportPrior
from synthesis.limits import at_least


class ConditionalVAE(Generator):
    """Kingma & Welling 2014 (arXiv 1312.6114), conditioned as by Sohn et al. (NeurIPS 2015).

    The posterior sees image and report, the decoder latent and report. With a `ReportPrior` the prior is
    p(z | report), as Sohn's: what the report says then costs no KL, so that latents carry it, and samples
    are drawn from where the posteriors of such reports lie. Without one it is a standard normal. The
    decoder's variance is the one that is best for the batch, in closed form (Rybkin et al. 2021, σ-VAE, arXiv
    2006.13202): likelihood and KL then weigh what the evidence bound says, with no β to tune.

    Logs ``loss`` (negative evidence bound in nats a pixel, up to a constant; with free bits their part stands
    in for a lower KL), ``kl`` (nats an image, all of it) and ``mse``.

    Args:
        report_encoder: Encodes the prompts.
        image_size: Side of the images, px.
        latent_dim: Length of the latent.
        width: Channels of the decoder at full resolution, a multiple of 8; the encoder begins with twice as
            many at half resolution.
        learned_prior: Whether the prior is p(z | report), learned with the rest, or a standard normal.
        prior_width: Width of the network of that prior.
        free_bits: Nats that each entry of the latent may cost for nothing, on average over a batch (Kingma et
            al. 2016, arXiv 1606.04934): keeps a decoder from ignoring its latent. 0 is none.
        alignment: What is asked of images that are drawn as in use, from the prior; None asks nothing.
        **kwargs: Those of `Generator`.
    """

    def __init__(
        self,
        report_encoder: ReportEncoder,
        image_size: int = 64,
        latent_dim: int = 128,
        width: int = 16,
        learned_prior: bool = False,
        prior_width: int = 256,
        free_bits: float = 0.0,
        alignment: ReportAlignment | None = None,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, image_size=image_size, latent_dim=latent_dim, width=width, prior_width=prior_width)
        at_least(self, 0, free_bits=free_bits)
        super().__init__(report_encoder, **kwargs)
        self.encoder = image_regressor(image_size, 16 * width, 2 * width, norm=("group", {"num_groups": 8}))
        self.posterior = nn.Linear(16 * width + report_encoder.width, 2 * latent_dim)
        self.decoder = LatentDecoder(image_size, latent_dim, report_encoder.width, width)
        self.prior = ReportPrior(latent_dim, report_encoder.width, prior_width) if learned_prior else None
        self.free_bits, self.alignment = free_bits, alignment

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
        image, prompts = images_of(batch, self.decoder.image_size), self.prompts(batch)
        _, pooled = self.report_encoder(prompts)
        features = torch.cat([self.encoder(2 * image - 1), pooled], 1)
        mean, log_variance = self.posterior(features).float().chunk(2, 1)
        log_variance = log_variance.clamp(-12, 12)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        mse = (self.decoder(latents, pooled) - image).square().mean()
        kl = self._kl(mean, log_variance, pooled).mean(0)
        bound = 0.5 * mse.clamp_min(1e-8).log() + kl.clamp_min(self.free_bits).sum() / image[0].numel()
        figures = {"kl": kl.sum(), "mse": mse}
        if self.alignment is not None:
            figures["alignment"] = self.alignment(self._drawn(pooled), image, self.sentences(batch))
            bound = bound + figures["alignment"]
        return self._logged(stage, len(image), loss=bound, **figures)["loss"]

    def _drawn(self, pooled: Tensor) -> Tensor:
        """Return an image for each report, from the prior."""
        latents = torch.randn(len(pooled), self.decoder.latent_dim, device=pooled.device)
        if self.prior is not None:
            centre, spread = self.prior(pooled)
            latents = centre + latents * (0.5 * spread).exp()
        return self.decoder(latents, pooled)

    def _kl(self, mean: Tensor, log_variance: Tensor, pooled: Tensor) -> Tensor:
        """Return the KL of the posteriors to their priors, nats by entry: ``(batch, latent)``."""
        if self.prior is None:
            return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        centre, spread = self.prior(pooled)
        distance = ((mean - centre).square() + log_variance.exp()) / spread.exp()
        return 0.5 * (distance - 1 + spread - log_variance)

    def _logged(self, stage: str, count: int, **figures: Tensor) -> dict[str, Tensor]:
        for name, value in figures.items():
            self.log(
                f"{stage}/{name}",
                value.detach(),
                prog_bar=name == "loss",
                batch_size=count,
                sync_dist=stage != "train",
            )
        return figures

    def export(self, directory: Path) -> None:
        """Write decoder, learned prior and text encoder: see `Generator.export`."""
        prior = {} if self.prior is None else {"prior": self.prior.save(directory)}
        self.decoder.save(directory, kind="variational", section=self.section, **prior)
        self.report_encoder.save(directory)
