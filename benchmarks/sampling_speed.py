"""How fast a diffusion model draws with few steps of a good solver, at the error of fifty plain ones.

What steps cost is timed on the pipeline of `configs/generator/latent_diffusion.yaml`, whose weights make no
difference to that. How near its samples are to those of endless steps is measured where the model is known
exactly: a mixture of normal distributions around simulated radiographs, under the same schedule.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from benchmarks.rows import Row, compared, in_turns
from datamodules.texts.text_view import full_text
from datamodules.texts.tokenizer import train_tokenizer
from lightning_modules import LatentAutoencoder, LatentDiffusion, ReportEncoder
from synthesis.cases import BalancedCaseSampler
from synthesis.configuration import shipped
from synthesis.images.diffusion import DiffusionImageMaker
from synthesis.images.simulator import Simulator
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

PLAIN = 50
"""Steps of DDIM that a Stable Diffusion pipeline takes where nobody says otherwise."""
SOLVER = "UniPCMultistepScheduler"
ARGUMENTS = {"solver_order": 3}
_SPREAD = 0.3  # of the mixture, where the images vary by 1

Velocity = Callable[[Tensor, int], Tensor]


def rows(quick: bool) -> Iterator[Row]:
    """Yield images a second with as few steps of the solver as fifty of DDIM are as exact as."""
    count, batch, turns = (12, 1, 1) if quick else (128, 16, 3)
    pairs = made(max(count, batch))
    errors = errors_of_steps(latents(pairs[:count]), noises=8 if quick else 64, exact=100 if quick else 1000)
    plain = errors.pop(-PLAIN)
    steps = min((steps for steps, error in errors.items() if error <= plain), default=max(errors))
    with tempfile.TemporaryDirectory() as folder:
        directory = export(Path(folder), [full_text(pair.report) for pair in pairs])
        shared: dict[str, Any] = {"image_size": 64, "guidance_rescale": 0.7, "batch_size": batch}
        few = DiffusionImageMaker(
            directory, steps=steps, scheduler=SOLVER, scheduler_arguments=ARGUMENTS, **shared
        )
        works = {
            name: lambda maker=maker: draw(maker, pairs[:batch])
            for name, maker in (
                ("ours", few),
                ("theirs", DiffusionImageMaker(directory, steps=PLAIN, **shared)),
            )
        }
        costs = in_turns(turns, works)
    yield compared(
        f"diffusion sampling: {SOLVER} of order {ARGUMENTS['solver_order']}, {steps} steps",
        f"DDIM (diffusers), {PLAIN} steps",
        "diffusers",
        costs,
        batch,
        "images/s",
        "≥ 5 × at equal fidelity",
        note=f"Distance (r.m.s.) from samples of endless steps, where data vary by 1: {errors[steps]:.3f}, "
        f"theirs {plain:.3f}; with {steps - 1} steps {errors.get(steps - 1, float('nan')):.3f}.",
    )


def made(count: int) -> list[Pair]:
    """Return simulated pairs of 64 px."""
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    return synthesizer.make(range(count), 0, "train")


def latents(pairs: list[Pair]) -> Tensor:
    """Return the images at the size of latents, with mean 0 and deviation 1: ``(pair, 256)``."""
    images = torch.stack([pair.image for pair in pairs]).float()
    small = F.interpolate(images, (16, 16), mode="area").flatten(1)
    return (small - small.mean()) / small.std()


def errors_of_steps(data: Tensor, noises: int, exact: int) -> dict[int, float]:
    """Return how far samples are from those of `exact` steps of DDIM, by the number of steps.

    Args:
        data: Around which the known model draws, ``(n, dim)``.
        noises: Samples.
        exact: Steps that stand for endlessly many.

    Returns:
        Root mean square by steps of the solver; of `PLAIN` steps of DDIM under ``-PLAIN``.
    """
    import diffusers

    schedule = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    ).config
    velocity = exact_velocity(data, diffusers.DDIMScheduler.from_config(schedule).alphas_cumprod)
    noise = torch.randn(noises, data.shape[1], generator=torch.Generator().manual_seed(0))

    def sampled(scheduler: Any, steps: int) -> Tensor:
        scheduler.set_timesteps(steps)
        x = noise.clone()
        for step in scheduler.timesteps:
            x = scheduler.step(velocity(x, int(step)), step, x).prev_sample
        return x

    def by_ddim(steps: int) -> Tensor:
        return sampled(diffusers.DDIMScheduler.from_config(schedule), steps)

    limit = by_ddim(exact)
    solver = getattr(diffusers, SOLVER)
    found = {k: sampled(solver.from_config(schedule, **ARGUMENTS), k) for k in range(5, 26)}
    found[-PLAIN] = by_ddim(PLAIN)
    return {steps: float((x - limit).square().mean().sqrt()) for steps, x in found.items()}


def exact_velocity(data: Tensor, alphas_cumprod: Tensor) -> Velocity:
    """Return what a perfect network predicts whose data are normal with deviation `_SPREAD` around `data`.

    Args:
        data: The centres, ``(n, dim)``.
        alphas_cumprod: Of the schedule: share of the signal's variance by time step.
    """

    def velocity(noisy: Tensor, step: int) -> Tensor:
        signal, noise = alphas_cumprod[step].sqrt(), (1 - alphas_cumprod[step]).sqrt()
        variance = noise**2 + (signal * _SPREAD) ** 2
        distance = torch.cdist(noisy.double(), (signal * data).double()).square()
        centre = (-distance / (2 * variance)).softmax(1).float() @ data
        clean = centre + signal * _SPREAD**2 / variance * (noisy - signal * centre)
        return signal * (noisy - signal * clean) / noise - noise * clean

    return velocity


def export(folder: Path, texts: list[str]) -> Path:
    """Write the pipeline of the shipped configuration with random weights, and return its directory."""
    settings = yaml.safe_load(shipped("configs/generator/latent_diffusion.yaml").read_text())
    asked = settings["model"]["init_args"]
    encoder = ReportEncoder(**asked["report_encoder"]["init_args"])
    encoder.take_tokenizer(train_tokenizer(texts, asked["report_encoder"]["init_args"]["vocab_size"]))
    LatentAutoencoder(image_size=asked["image_size"]).export(folder / "autoencoder")
    diffusion = LatentDiffusion(encoder, str(folder / "autoencoder"), unet=asked["unet"])
    diffusion.export(folder / "diffusion")
    return folder / "diffusion"


def draw(maker: DiffusionImageMaker, pairs: list[Pair]) -> Tensor:
    """Draw the cases of pairs."""
    cases, reports = [pair.case for pair in pairs], [pair.report for pair in pairs]
    return maker.make(cases, reports, range(len(pairs))).images
