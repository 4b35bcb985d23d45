"""Text-to-image diffusion in the latents of an autoencoder, trained from scratch or fine-tuned."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import INDEX, Batch, data_facts
from lightning_modules.contexts import seeded
from lightning_modules.generators.generator import Generator
from lightning_modules.generators.images import images_of
from lightning_modules.generators.latent_cache import LatentCache
from lightning_modules.generators.latent_decoder import SETTINGS
from lightning_modules.generators.report_alignment import ReportAlignment
from lightning_modules.generators.report_encoder import ReportEncoder
from lightning_modules.generators.stable_diffusion import (
    Prediction,
    add_lora,
    diffusion_parts,
    drawn_size,
    sampling_schedule,
    save_lora,
)
from synthesis.limits import above, at_least, within
from synthesis.patch_code import PatchCode


class LatentDiffusion(Generator):
    """A Stable Diffusion of any size (Rombach et al. 2022, arXiv:2112.10752): networks of `diffusers`.

    From scratch: `unet` and an `autoencoder` that `LatentAutoencoder` has exported. It predicts the velocity
    (Salimans & Ho 2022, arXiv 2202.00512) under a schedule that ends in pure noise (Lin et al. 2024, arXiv
    2305.08891), because exposure is a property of the whole image which other schedules leak. Fine-tuning:
    `pretrained`; its prediction type and schedule stay.

    With `flow` it learns rectified flow instead (Liu et al. 2023, arXiv 2209.03003): the straight way from
    image to noise, at times drawn from a logit-normal distribution (Esser et al. 2024, arXiv 2403.03206),
    which few steps of a solver follow. The report enters by cross-attention; ``addition_embed_type: text`` in
    `unet` adds all of it, pooled, to the embedding of the time, which every block reads.

    With ``prediction: sample`` it predicts the clean latents: the noise of a large patch has as many numbers
    as the patch, all of which a small network would have to pass on, the image few (Li & He 2025, arXiv
    2511.13720).

    Steps of a diffusion are weighted by min-SNR (Hang et al. 2023, arXiv 2303.09556): min(SNR, γ) / SNR for
    noise. For velocities SNR + 1 takes the place of SNR, so that the weight does not vanish where the signal
    does: sampling begins there. For clean latents this is min(SNR + 1, γ). A share of the prompts is emptied
    for classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    Logs ``train/loss`` and ``val/loss`` (the same noise and steps in every epoch).

    Args:
        report_encoder: Encodes the prompts; fine-tuning wants `pretrained` there too.
        autoencoder: Directory of an `AutoencoderKL`; None takes that of `pretrained`. It stays frozen.
        unet: Arguments of `diffusers.UNet2DConditionModel`, less sizes and channels, which follow; from
            scratch only.
        pretrained: Directory or ``hub:owner/name`` of a Stable Diffusion pipeline whose UNet is fine-tuned.
        image_size: Side of the images, px, and of those that the export draws; None takes what the
            autoencoder (fine-tuning: the UNet) was made for. From scratch no other is possible; a code needs
            it.
        code: An exact code of images that takes the place of `autoencoder`: no training, no blur.
        flow: Whether a UNet from scratch learns rectified flow, or under a noise schedule.
        prediction: What it predicts under a noise schedule.
        alignment: What is asked of the clean images that follow from what it predicts, where it has read a
            prompt; wants a code. None asks nothing.
        lora_rank: Train only low-rank updates of the attention of this rank (Hu et al. 2021, arXiv
            2106.09685); None trains all of the UNet. Needs the package `peft`.
        prompt_dropout: Share of empty prompts.
        min_snr: γ of the weighting; None weighs all steps alike, as `flow` does.
        cache_latents: Keep what the autoencoder makes of each training image, in half precision in memory
            (4 kB an image at 16×16×4). For data without augmentation.
        gradient_checkpointing: Recompute blocks in the backward pass: less memory, a third more time.
        **kwargs: Those of `Generator`.

    Raises:
        ValueError: If not exactly one of `unet` and `pretrained` is given, no autoencoder, one for images of
            another size, or a text encoder of another width than the UNet reads.
    """

    def __init__(
        self,
        report_encoder: ReportEncoder,
        autoencoder: str | None = None,
        unet: dict[str, Any] | None = None,
        pretrained: str | None = None,
        image_size: int | None = None,
        code: PatchCode | None = None,
        flow: bool = False,
        prediction: Prediction = "velocity",
        alignment: ReportAlignment | None = None,
        lora_rank: int | None = None,
        prompt_dropout: float = 0.1,
        min_snr: float | None = 5.0,
        cache_latents: bool = False,
        gradient_checkpointing: bool = False,
        **kwargs: Any,
    ) -> None:
        within(self, 0, 1, prompt_dropout=prompt_dropout)
        if image_size is not None:
            at_least(self, 1, image_size=image_size)
        if min_snr is not None:
            above(self, 0, min_snr=min_snr)
        super().__init__(report_encoder, **kwargs)
        if lora_rank is not None and pretrained is None:
            raise ValueError(
                f"LatentDiffusion: lora_rank is {lora_rank}, but there is no pretrained UNet "
                "to update: give `pretrained`, or set lora_rank to null"
            )
        if alignment is not None and code is None:
            raise ValueError(
                "LatentDiffusion: alignment looks at the clean images of a code, but code is null: give one "
                "(configs/generator/latents), or no alignment"
            )
        self.alignment = alignment
        parts = diffusion_parts(
            report_encoder.width, autoencoder, unet, pretrained, image_size, code, flow, prediction
        )
        first, self.unet, self.scheduler = parts
        self.code: PatchCode | None = first if isinstance(first, PatchCode) else None
        self.autoencoder: Any = None if self.code else first.requires_grad_(False)
        self.image_size = drawn_size(first, self.unet)
        self.flow = "shift" in self.scheduler.config  # of a flow, whatever it came from
        self.unet.train()  # loaded ones come in evaluation mode
        self.pretrained, self.lora_rank = pretrained, lora_rank
        if lora_rank is not None:
            add_lora(self.unet, lora_rank)
        if gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.prompt_dropout, self.min_snr = prompt_dropout, min_snr
        self.cache = LatentCache() if cache_latents else None

    def on_fit_start(self) -> None:
        """Refuse to cache what varies, choose the attention, and see to a tokenizer: see `Generator`.

        Raises:
            ValueError: If latents are to be cached of images that are augmented.
        """
        super().on_fit_start()
        if self.device.type == "cpu":  # the fused attention's backward pass is slow there
            from diffusers.models.attention_processor import AttnProcessor

            self.unet.set_attn_processor(AttnProcessor())
        if self.cache is not None and data_facts(self.trainer).augmented:
            raise ValueError(
                "cache_latents is true, but the data augments its images, so every epoch would see the first "
                "one's: set data.init_args.views.augmentation to null, or cache_latents to false"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        moments = (
            self._moments(batch) if self.cache is None else self.cache(batch[INDEX], self._moments, batch)
        )
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            prompts = self.prompts(batch)
            kept = (torch.rand(len(prompts)) >= self.prompt_dropout).tolist()
            prompts = [prompt if keep else "" for prompt, keep in zip(prompts, kept, strict=True)]
            steps = self._drawn_steps(len(prompts))
            loss, clean = self._loss(self._latents(moments), prompts, steps)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(prompts))
        if self.alignment is not None and any(kept):
            asked = self._asked(self.alignment, batch, prompts, clean)
            self.log("train/alignment", asked.detach(), batch_size=len(prompts))
            loss = loss + asked
        return loss

    def _asked(self, alignment: ReportAlignment, batch: Batch, prompts: list[str], clean: Tensor) -> Tensor:
        """Return what is asked of the clean images of those that have read a prompt."""
        assert self.code is not None
        rows = [row for row, prompt in enumerate(prompts) if prompt]
        drawn = self.code.decode(clean[rows]).clamp(0, 1)
        real = images_of(batch, self.image_size)[rows]
        sentences = self.sentences(batch)
        return alignment(drawn, real, [sentences[row] for row in rows])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss of steps that are spread evenly over the schedule."""
        with seeded(self.device, self.seed, self.global_rank, batch_idx):
            prompts = self.prompts(batch)
            steps = torch.linspace(0, self._steps - 1, len(prompts), device=self.device).long()
            loss, _ = self._loss(self._latents(self._moments(batch)), prompts, steps)
        self.log("val/loss", loss, prog_bar=True, batch_size=len(prompts), sync_dist=True)

    test_step = validation_step

    @property
    def _steps(self) -> int:
        return int(self.scheduler.config.num_train_timesteps)

    def _drawn_steps(self, count: int) -> Tensor:
        if not self.flow:
            return torch.randint(self._steps, (count,), device=self.device)
        from diffusers.training_utils import compute_density_for_timestep_sampling

        drawn = compute_density_for_timestep_sampling("logit_normal", count, 0.0, 1.0, device=self.device)
        return (drawn * self._steps).long().clamp(max=self._steps - 1)

    @torch.no_grad()
    def _moments(self, batch: Batch) -> Tensor:
        """Mean and log-variance of the latents, side by side: ``(batch, 2 · channels, height, width)``.

        Of a code, the latents themselves.
        """
        images = images_of(batch, self.image_size)
        if self.code is not None:
            return self.code.encode(images)
        image = (2 * images - 1).expand(-1, self.autoencoder.config.in_channels, -1, -1)
        return self.autoencoder.encode(image).latent_dist.parameters

    def _latents(self, moments: Tensor) -> Tensor:
        if self.code is not None:
            return moments.float()
        mean, log_variance = moments.float().chunk(2, 1)
        sampled = mean + torch.randn_like(mean) * (0.5 * log_variance.clamp(-30, 20)).exp()
        return sampled * self.autoencoder.config.scaling_factor

    def _loss(self, latents: Tensor, prompts: list[str], steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the clean latents that follow from what was predicted."""
        noise = torch.randn_like(latents)
        tokens, _ = self.report_encoder(prompts)
        if self.flow:
            times = self.scheduler.timesteps.to(steps.device)[steps]
            noisy = self.scheduler.scale_noise(latents, times, noise)
            predicted = self._predicted(noisy, times, tokens)
            sigma = self.scheduler.sigmas.to(noisy)[steps].reshape(-1, 1, 1, 1)
            return F.mse_loss(predicted, noise - latents), noisy - sigma * predicted
        noisy = self.scheduler.add_noise(latents, noise, steps)
        predicted = self._predicted(noisy, steps, tokens)
        kind = self.scheduler.config.prediction_type
        signal = self.scheduler.alphas_cumprod.to(noisy)[steps].sqrt().reshape(-1, 1, 1, 1)
        spread = (1 - signal.square()).sqrt()
        target, clean = noise, (noisy - spread * predicted) / signal.clamp_min(1e-4)
        if kind == "v_prediction":
            target = self.scheduler.get_velocity(latents, noise, steps)
            clean = signal * noisy - spread * predicted
        elif kind == "sample":
            target, clean = latents, predicted
        errors = F.mse_loss(predicted, target, reduction="none").mean((1, 2, 3))
        return (errors * self._weights(steps, kind)).mean(), clean

    def _predicted(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        predicted: Tensor = self.unet(noisy, times, encoder_hidden_states=tokens).sample
        return predicted.float()

    def _weights(self, steps: Tensor, kind: str) -> Tensor:
        from diffusers.training_utils import compute_snr

        if self.min_snr is None:
            return torch.ones_like(steps, dtype=torch.float32)
        snr = compute_snr(self.scheduler, steps)
        if kind == "sample":
            return (snr + 1).clamp(max=self.min_snr)
        return (self.min_snr / (snr + 1 if kind == "v_prediction" else snr)).clamp(max=1)

    def export(self, directory: Path) -> None:
        """Write the directory that ``diffusers.StableDiffusionPipeline.from_pretrained`` opens.

        Low-rank updates are merged into it, and also lie in ``lora``, for whoever has the original. With a
        code the pipeline has no autoencoder: open it with ``vae=None`` and ask for
        ``output_type="latent"``; ``PatchCode(**generator.json["code"]).decode`` makes images of that.
        """
        from diffusers import StableDiffusionPipeline

        unet = self.unet
        if self.lora_rank is not None and self.pretrained is not None:
            unet = save_lora(self.unet, self.pretrained, directory / "lora")
        pipeline = StableDiffusionPipeline(
            vae=self.autoencoder,
            text_encoder=self.report_encoder.model,
            tokenizer=self.report_encoder.tokenizer,
            unet=unet,
            scheduler=sampling_schedule(self.scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(directory)
        settings: dict[str, Any] = {"kind": "diffusion", "section": self.section}
        if self.pretrained is None:  # what is fine-tuned knew guidance before
            settings["prompt_dropout"] = self.prompt_dropout
        if self.code is not None:
            settings["code"] = asdict(self.code)
        (directory / SETTINGS).write_text(json.dumps(settings, indent=1))
