"""The components of a Stable Diffusion pipeline: new ones, given ones, and low-rank updates of given ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch

from lightning_modules.generators.latent_decoder import SETTINGS
from synthesis.model_files import model_directory, open_pretrained
from synthesis.patch_code import PatchCode

Parts = tuple[Any, Any, Any]
"""Autoencoder or `PatchCode`, UNet and training schedule."""

Prediction = Literal["velocity", "sample"]
"""What a UNet under a noise schedule says: the velocity, or the clean latents."""

TRAIN_STEPS = 1000
_PLAIN = "StableDiffusionPipeline gives a UNet the prompt's tokens and no other condition"
_NOT_PLAIN = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_cond_proj_dim")


def diffusion_parts(
    width: int,
    autoencoder: str | None,
    unet: dict[str, Any] | None,
    pretrained: str | None,
    image_size: int | None = None,
    code: PatchCode | None = None,
    flow: bool = False,
    prediction: Prediction = "velocity",
) -> Parts:
    """Return what `LatentDiffusion` asks for: see its arguments.

    Args:
        width: Width of the text tokens.
        autoencoder: Directory of an autoencoder.
        unet: Arguments of a new UNet.
        pretrained: A pipeline to fine-tune.
        image_size: Side of the images, px; None takes that of the parts.
        code: Takes the place of an autoencoder.
        flow: Whether a new UNet learns rectified flow.
        prediction: What a new UNet predicts otherwise.

    Raises:
        ValueError: If the arguments do not go together.
    """
    if (unet is None) == (pretrained is None):
        raise ValueError("LatentDiffusion: give either unet (from scratch) or pretrained (to fine-tune)")
    if unet is not None:
        if (autoencoder is None) == (code is None):
            raise ValueError(
                "LatentDiffusion: from scratch it needs the directory of an autoencoder, or a code and no "
                "autoencoder"
            )
        given = _coded(code, image_size) if code is not None else _encoded(str(autoencoder), image_size)
        return given[0], untrained_unet(unet, width, *given[1:]), untrained_schedule(flow, prediction)
    assert pretrained is not None
    if code is not None or flow or prediction != "velocity":
        raise ValueError(
            "LatentDiffusion: code, flow and prediction are for a UNet from scratch; what is fine-tuned "
            "keeps its latents and its schedule: leave them out"
        )
    parts = trained_parts(pretrained, autoencoder)
    asked = parts[1].config.cross_attention_dim
    if asked != width:
        raise ValueError(
            f"LatentDiffusion: the UNet reads tokens of width {asked}, report_encoder gives {width}; give "
            "report_encoder the same `pretrained` directory"
        )
    if image_size is not None:  # a pipeline draws at its UNet's size
        first = parts[0]
        side = first.side(image_size) if isinstance(first, PatchCode) else image_size // _reduction(first)
        parts[1].register_to_config(sample_size=side)
    return parts


def _coded(code: PatchCode, image_size: int | None) -> tuple[Any, int, int]:
    """Return a code, and side and channels of its latents."""
    if image_size is None:
        raise ValueError("LatentDiffusion: a code is of no size of its own: give image_size")
    return code, code.side(image_size), code.channels


def _encoded(autoencoder: str, image_size: int | None) -> tuple[Any, int, int]:
    """Return a trained autoencoder, and side and channels of its latents.

    Raises:
        FileNotFoundError: If there is no such autoencoder.
        ValueError: If it was trained on images of another size.
    """
    from diffusers import AutoencoderKL

    if not Path(autoencoder, "config.json").is_file():
        raise FileNotFoundError(
            f"autoencoder {autoencoder!r} holds no config.json: train one with `python main.py fit -c "
            "configs/generator/autoencoder.yaml`, and give the `export` directory of that run"
        )
    vae = open_pretrained(AutoencoderKL, model_directory(autoencoder, argument="autoencoder"))
    trained = vae.config.sample_size
    if image_size not in (None, trained):
        raise ValueError(
            f"LatentDiffusion: image_size is {image_size}, but autoencoder {autoencoder!r} was trained at "
            f"{trained} px: set image_size to {trained}, or train an autoencoder at {image_size}"
        )
    return vae, trained // _reduction(vae), vae.config.latent_channels


def untrained_unet(unet: dict[str, Any], width: int, side: int, channels: int) -> Any:
    """Return a UNet of random weights, of a kind that `StableDiffusionPipeline` can call.

    Args:
        unet: Arguments of `UNet2DConditionModel`, less the four that follow from latents and text.
        width: Width of the text tokens.
        side: Side of the latents.
        channels: Their channels.

    Raises:
        ValueError: If it asks for a condition that the pipeline does not give, or for heads that do not
            divide the width.
    """
    from diffusers import UNet2DConditionModel

    pooled = unet.get("addition_embed_type")
    for name in _NOT_PLAIN:
        if unet.get(name) is not None:
            raise ValueError(f"LatentDiffusion: unet.{name} is {unet[name]!r}: {_PLAIN}; leave it out")
    if pooled not in (None, "text"):
        raise ValueError(
            f"LatentDiffusion: unet.addition_embed_type is {pooled!r}: {_PLAIN}; give 'text', or leave it out"
        )
    heads = unet.get("addition_embed_type_num_heads", 64)
    if pooled and (not isinstance(heads, int) or heads < 1 or width % heads):
        raise ValueError(
            f"LatentDiffusion: unet.addition_embed_type_num_heads is {heads!r} (64 where it is left out), "
            f"which does not divide the {width} numbers of a token of report_encoder: give 4, say"
        )
    return UNet2DConditionModel(
        **{**unet, "sample_size": side, "in_channels": channels, "out_channels": channels},
        cross_attention_dim=width,
    )


def untrained_schedule(flow: bool, prediction: Prediction) -> Any:
    """Return the schedule of rectified flow, or one of noise that ends in pure noise.

    Raises:
        ValueError: If both `flow` and another prediction than its own are asked for.
    """
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

    if flow and prediction != "velocity":
        raise ValueError(
            f"LatentDiffusion: flow has a prediction of its own, but prediction is {prediction!r}: leave one "
            "out"
        )
    if flow:
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=TRAIN_STEPS)
    return DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction" if prediction == "velocity" else "sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def sampling_schedule(training: Any) -> Any:
    """Return the schedule that a pipeline draws with, from the one of training.

    `StableDiffusionPipeline` cannot call FlowMatchEulerDiscreteScheduler; DPMSolverMultistepScheduler follows
    the same flow, and with the second order it needs fewer steps.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

    if isinstance(training, FlowMatchEulerDiscreteScheduler):
        return DPMSolverMultistepScheduler(
            num_train_timesteps=training.config.num_train_timesteps,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=training.config.shift,
        )
    # The rest is what the pipeline insists on.
    return DDIMScheduler.from_config(training.config, steps_offset=1, clip_sample=False)


def trained_parts(pretrained: str, autoencoder: str | None) -> Parts:
    """Return the components of a Stable Diffusion pipeline, in float32.

    Args:
        pretrained: The pipeline, see `synthesis.model_files`.
        autoencoder: Directory of another autoencoder to use instead of its own.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel

    pipeline = model_directory(pretrained, ("pipeline", "weights"))
    settings = pipeline / SETTINGS
    code = json.loads(settings.read_text("utf-8")).get("code") if settings.is_file() else None
    if code is not None and autoencoder is not None:
        raise ValueError(
            f"LatentDiffusion: {pretrained!r} draws in the latents of a code, not of an autoencoder: leave "
            "autoencoder out"
        )
    vae = model_directory(autoencoder, argument="autoencoder") if autoencoder else pipeline / "vae"
    schedule = open_pretrained(DDPMScheduler, pipeline / "scheduler")
    if schedule.config.prediction_type == "flow_prediction":
        given = json.loads((pipeline / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        schedule = FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=given["num_train_timesteps"], shift=given.get("flow_shift", 1.0)
        )
    return (
        PatchCode(**code) if code else open_pretrained(AutoencoderKL, vae, dtype=torch.float32),
        open_pretrained(UNet2DConditionModel, pipeline / "unet", dtype=torch.float32),
        schedule,
    )


def add_lora(unet: Any, rank: int) -> None:
    """Freeze a UNet and add low-rank updates to the projections of its attention; changed in place."""
    from peft import LoraConfig

    unet.requires_grad_(False)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets)
    )


def save_lora(unet: Any, pretrained: str, directory: Path) -> Any:
    """Write the low-rank updates of a UNet as `diffusers` loads them, and return a UNet with them merged in.

    Args:
        unet: What `add_lora` has changed, trained; it stays as it is.
        pretrained: The pipeline that its other weights come from.
        directory: Where the updates go.
    """
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    updates = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(directory, unet_lora_layers=updates)
    unet_directory = model_directory(pretrained, ("pipeline", "weights")) / "unet"
    merged = open_pretrained(UNet2DConditionModel, unet_directory, dtype=torch.float32)
    # The file's name, because offline diffusers does not look for it.
    merged.load_lora_adapter(directory, prefix="unet", weight_name="pytorch_lora_weights.safetensors")
    merged.fuse_lora()
    merged.unload_lora()
    merged.register_to_config(sample_size=unet.config.sample_size)
    return merged


def drawn_size(first: Any, unet: Any) -> int | None:
    """Return the side of the images that a pipeline draws, px; None for a UNet that states no square size.

    Args:
        first: Its autoencoder or `PatchCode`.
        unet: Its UNet.
    """
    side = unet.config.sample_size
    if not isinstance(side, int):
        return None
    return side * (first.patch if isinstance(first, PatchCode) else _reduction(first))


def _reduction(autoencoder: Any) -> int:
    """Return how many pixels along a side make one latent."""
    return int(2 ** (len(autoencoder.config.block_out_channels) - 1))
