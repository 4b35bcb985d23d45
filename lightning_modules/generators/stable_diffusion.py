"""The components of a Stable Diffusion pipeline: new ones, given ones, and low-rank updates of given ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from synthesis.model_files import model_directory, open_pretrained

Parts = tuple[Any, Any, Any]
"""Autoencoder, UNet and training schedule."""


def diffusion_parts(
    width: int,
    autoencoder: str | None,
    unet: dict[str, Any] | None,
    pretrained: str | None,
    image_size: int | None = None,
) -> Parts:
    """Return what `LatentDiffusion` asks for: see its arguments.

    Args:
        width: Width of the text tokens.
        autoencoder: Directory of an autoencoder.
        unet: Arguments of a new UNet.
        pretrained: A pipeline to fine-tune.
        image_size: Side of the images, px; None takes that of the parts.

    Raises:
        ValueError: If the arguments do not go together.
    """
    if (unet is None) == (pretrained is None):
        raise ValueError("LatentDiffusion: give either unet (from scratch) or pretrained (to fine-tune)")
    if unet is not None:
        if autoencoder is None:
            raise ValueError("LatentDiffusion: from scratch it needs the directory of an autoencoder")
        return untrained_parts(autoencoder, unet, width, image_size)
    assert pretrained is not None
    parts = trained_parts(pretrained, autoencoder)
    asked = parts[1].config.cross_attention_dim
    if asked != width:
        raise ValueError(
            f"LatentDiffusion: the UNet reads tokens of width {asked}, report_encoder gives {width}; give "
            "report_encoder the same `pretrained` directory"
        )
    if image_size is not None:  # a pipeline draws at its UNet's size
        parts[1].register_to_config(sample_size=image_size // _reduction(parts[0]))
    return parts


def untrained_parts(
    autoencoder: str, unet: dict[str, Any], width: int, image_size: int | None = None
) -> Parts:
    """Return a trained autoencoder and a UNet of random weights that fits its latents.

    Args:
        autoencoder: Directory of an `AutoencoderKL`.
        unet: Arguments of `UNet2DConditionModel`, less the four that follow from autoencoder and text.
        width: Width of the text tokens.
        image_size: Side of the images, px; None takes that of the autoencoder.

    Raises:
        FileNotFoundError: If there is no such autoencoder.
        ValueError: If it was trained on images of another size.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

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
    size, channels = trained // _reduction(vae), vae.config.latent_channels
    network = UNet2DConditionModel(
        **{**unet, "sample_size": size, "in_channels": channels, "out_channels": channels},
        cross_attention_dim=width,
    )
    schedule = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    return vae, network, schedule


def trained_parts(pretrained: str, autoencoder: str | None) -> Parts:
    """Return the components of a Stable Diffusion pipeline, in float32.

    Args:
        pretrained: The pipeline, see `synthesis.model_files`.
        autoencoder: Directory of another autoencoder to use instead of its own.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    pipeline = model_directory(pretrained, ("pipeline", "weights"))
    vae = model_directory(autoencoder, argument="autoencoder") if autoencoder else pipeline / "vae"
    return (
        open_pretrained(AutoencoderKL, vae, dtype=torch.float32),
        open_pretrained(UNet2DConditionModel, pipeline / "unet", dtype=torch.float32),
        open_pretrained(DDPMScheduler, pipeline / "scheduler"),
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


def _reduction(autoencoder: Any) -> int:
    """Return how many pixels along a side make one latent."""
    return int(2 ** (len(autoencoder.config.block_out_channels) - 1))
