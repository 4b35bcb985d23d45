"""A conditional generative adversarial network that is stable without tricks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import IMAGE, Batch
from lightning_modules.contexts import seeded
from lightning_modules.generators.generator import Generator
from lightning_modules.generators.images import images_of
from lightning_modules.generators.latent_decoder import LatentDecoder, image_regressor
from lightning_modules.generators.report_alignment import ReportAlignment
from lightning_modules.generators.report_encoder import ReportEncoder
from synthesis.limits import at_least, within
from synthesis.reports.sides import with_sides_exchanged


class Discriminator(nn.Module):
    """Scores how real an image is for its report.

    A projection discriminator (Miyato & Koyama 2018, arXiv 1802.05637) without normalisation, as gradient
    penalties want it.

    Args:
        image_size: Side of the images, px.
        condition_dim: Length of the pooled report.
        width: Channels after the first halving.
    """

    def __init__(self, image_size: int, condition_dim: int, width: int) -> None:
        super().__init__()
        features = 8 * width
        self.network = image_regressor(image_size, features, width, norm=None)
        self.score = nn.Linear(features, 1)
        self.project = nn.Linear(condition_dim, features, bias=False)

    def forward(self, image: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores ``(batch,)``, and the image's features ``(batch, features)``."""
        features = F.leaky_relu(self.network(2 * image - 1), 0.2)
        return self.rate(features, pooled), features

    def rate(self, features: Tensor, pooled: Tensor) -> Tensor:
        """Return the scores ``(batch,)`` of images, given by their features, for reports."""
        match = (features * self.project(pooled)).sum(1) / features.shape[1] ** 0.5
        return self.score(features)[:, 0] + match


class ConditionalGAN(Generator):
    """A relativistic pairing GAN with zero-centred gradient penalties on both sides.

    Loss of Huang et al. 2024, "The GAN is dead; long live the GAN!" (R3GAN, arXiv 2501.05441): the
    discriminator says which of two images *for the same report* is real: softplus(D(fake) − D(real)),
    penalised by the squared gradient at real (R1) and generated images (R2). Why this one: the pairing has no
    bad local minima to drop modes into (Sun et al. 2020, arXiv 2011.04926), and with both penalties training
    converges locally where hinge or Wasserstein losses cycle. So it needs no batch normalisation, no balance
    of steps and no early stopping, which nobody tunes at small scale.

    A third term has the discriminator tell a real image with its report from the same image with a wrong one
    (Reed et al. 2016, GAN-CLS, arXiv 1605.05396): that of another image, and its own with left and right
    exchanged. It teaches report encoder and discriminator that the report matters, and its sides. Penalties
    are computed every `penalty_every` steps, that much stronger (Karras et al. 2020, StyleGAN2, arXiv
    1912.04958).

    Logs ``train/discriminator``, ``train/generator``, ``train/mismatch``, ``train/penalty``,
    ``train/alignment``, and as ``val/loss`` the generator's loss. On several ranks:
    ``strategy: ddp_find_unused_parameters_true``, for each of the two steps leaves the other network's
    parameters without gradient.

    Args:
        report_encoder: Encodes the prompts; it learns with the discriminator.
        image_size: Side of the images, px.
        latent_dim: Length of the latent.
        width: Channels of the generator at full resolution, a multiple of 8.
        discriminator_width: Channels of the discriminator at half resolution.
        penalty: Weight γ of R1 and R2 for images in [0, 1]; 0.25 is 1 for images in [-1, 1].
        penalty_every: Steps between penalties.
        mismatch: Weight of the third term; 0 leaves it out.
        alignment: What is asked of drawn images beside; None asks nothing.
        **kwargs: Those of `Generator`; `betas` should begin with 0.
    """

    def __init__(
        self,
        report_encoder: ReportEncoder,
        image_size: int = 64,
        latent_dim: int = 128,
        width: int = 16,
        discriminator_width: int = 32,
        penalty: float = 0.25,
        penalty_every: int = 4,
        mismatch: float = 0.5,
        alignment: ReportAlignment | None = None,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, latent_dim=latent_dim, width=width, discriminator_width=discriminator_width)
        at_least(self, 0, penalty=penalty)
        within(self, 0, 1, mismatch=mismatch)
        super().__init__(report_encoder, **kwargs)
        if penalty_every < 1:
            raise ValueError(f"penalty_every is {penalty_every}: give 1 or more steps")
        self.automatic_optimization = False
        self.penalty, self.penalty_every, self.mismatch = penalty, penalty_every, mismatch
        self.alignment = alignment
        self.decoder = LatentDecoder(image_size, latent_dim, report_encoder.width, width)
        self.discriminator = Discriminator(image_size, report_encoder.width, discriminator_width)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one step of the discriminator and one of the generator.

        Raises:
            ValueError: If gradients are to be accumulated.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ValueError("accumulate_grad_batches: ConditionalGAN takes its own steps; set it to 1")
        players: Any = self.optimizers()
        discriminator, generator = players
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            prompts = self.prompts(batch)
            _, pooled = self.report_encoder(prompts)
            made = self._draw(pooled.detach())  # once: both players look at the same images
            figures = self._discriminator_step(batch, prompts, pooled, made.detach(), discriminator)
            figures |= self._generator_step(batch, pooled.detach(), made, generator)
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]
            schedule.step()
        for name, value in figures.items():
            self.log(f"train/{name}", value, prog_bar=True, batch_size=len(batch[IMAGE]))

    def _discriminator_step(
        self, batch: Batch, prompts: list[str], pooled: Tensor, made: Tensor, optimizer: Any
    ) -> dict[str, Tensor]:
        penalised = (self.global_step // 2) % self.penalty_every == 0  # global_step counts both optimisers
        real = images_of(batch, self.decoder.image_size).detach().requires_grad_(penalised)
        made = made.requires_grad_(penalised)
        (real_score, features), (made_score, _) = (self.discriminator(x, pooled) for x in (real, made))
        figures = {"discriminator": F.softplus(made_score - real_score).mean()}
        figures["mismatch"] = self._mismatch(real_score, features, pooled, prompts)
        loss = figures["discriminator"] + self.mismatch * figures["mismatch"]
        if penalised:
            figures["penalty"] = squared_gradient(real_score, real) + squared_gradient(made_score, made)
            loss = loss + 0.5 * self.penalty * self.penalty_every * figures["penalty"]
        self._step(loss, optimizer)
        return {name: value.detach() for name, value in figures.items()}

    def _mismatch(self, score: Tensor, features: Tensor, pooled: Tensor, prompts: list[str]) -> Tensor:
        """Return the loss of telling own reports from wrong ones, where these say something else."""
        of_others = _differing(prompts, [*prompts[-1:], *prompts[:-1]])
        loss = self._excess(score, features, of_others, pooled.roll(1, 0)[of_others])
        exchanged = [with_sides_exchanged(prompt) for prompt in prompts]
        if sided := _differing(prompts, exchanged):
            _, encoded = self.report_encoder([exchanged[row] for row in sided])
            loss = loss + self._excess(score, features, sided, encoded)
        return loss

    def _excess(self, score: Tensor, features: Tensor, rows: list[int], wrong: Tensor) -> Tensor:
        """Return the mean loss of telling own reports from wrong ones, given for some rows."""
        other = self.discriminator.rate(features[rows], wrong)
        return F.softplus(other - score[rows]).sum() / max(1, len(rows))

    def _generator_step(
        self, batch: Batch, pooled: Tensor, made: Tensor, optimizer: Any
    ) -> dict[str, Tensor]:
        self.toggle_optimizer(optimizer)  # no gradient for the discriminator
        losses = self._generator_losses(batch, pooled, made)
        self._step(torch.stack(list(losses.values())).sum(), optimizer)
        self.untoggle_optimizer(optimizer)
        return {name: loss.detach() for name, loss in losses.items()}

    def _generator_losses(self, batch: Batch, pooled: Tensor, made: Tensor) -> dict[str, Tensor]:
        real = images_of(batch, self.decoder.image_size)
        with torch.no_grad():
            real_score, _ = self.discriminator(real, pooled)
        made_score, _ = self.discriminator(made, pooled)
        losses = {"generator": F.softplus(real_score - made_score).mean()}
        if self.alignment is not None:
            losses["alignment"] = self.alignment(made, real, self.sentences(batch))
        return losses

    def _draw(self, pooled: Tensor) -> Tensor:
        latents = torch.randn(len(pooled), self.decoder.latent_dim, device=pooled.device)
        return self.decoder(latents, pooled)

    def _step(self, loss: Tensor, optimizer: Any) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the generator's loss, the same noise in every epoch: for trends only."""
        with seeded(self.device, self.seed, self.global_rank, batch_idx):
            _, pooled = self.report_encoder(self.prompts(batch))
            loss = self._generator_losses(batch, pooled, self._draw(pooled))["generator"]
        self.log("val/loss", loss, batch_size=len(batch[IMAGE]), sync_dist=True)

    test_step = validation_step

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return one optimiser for discriminator and report encoder, one for the generator."""
        judges = nn.ModuleList([self.discriminator, self.report_encoder])
        parts = [self.adamw(judges, self.learning_rate), self.adamw(self.decoder, self.learning_rate)]
        return [part["optimizer"] for part in parts], [part["lr_scheduler"] for part in parts]

    def export(self, directory: Path) -> None:
        """Write the generator and the text encoder: see `Generator.export`."""
        self.decoder.save(directory, kind="adversarial", section=self.section)
        self.report_encoder.save(directory)


def _differing(prompts: list[str], others: list[str]) -> list[int]:
    """Return the rows in which two lists of texts say something else."""
    return [row for row, (a, b) in enumerate(zip(prompts, others, strict=True)) if a != b]


def squared_gradient(score: Tensor, image: Tensor) -> Tensor:
    """Return the mean squared norm of the scores' gradient with respect to their images."""
    (gradient,) = torch.autograd.grad(score.sum(), image, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
