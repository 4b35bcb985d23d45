"""Generators of random weights, on disk, as their libraries save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

UNET: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


def clip_tokenizer() -> Any:
    """CLIP's own kind, which knows single letters only."""
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz.,"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=16)


def stable_diffusion(directory: Path, seed: int = 0) -> Path:
    """A Stable Diffusion pipeline: three channels, 32 px, CLIP's text model and tokenizer, PNDM."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = clip_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=tokenizer.bos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            sample_size=32,
        )
        pipeline = StableDiffusionPipeline(
            vae=vae,
            text_encoder=CLIPTextModel(text),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(sample_size=16, cross_attention_dim=16, **UNET),
            scheduler=PNDMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                skip_prk_steps=True,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(directory)
    return directory


def latent_consistency(directory: Path) -> Path:
    """A latent consistency model: another pipeline, whose scheduler draws noise at every step."""
    from diffusers import (
        LatentConsistencyModelPipeline,
        LCMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )

    given = StableDiffusionPipeline.from_pretrained(stable_diffusion(directory / "given"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(sample_size=16, cross_attention_dim=16, time_cond_proj_dim=8, **UNET)
    parts = {"vae": given.vae, "text_encoder": given.text_encoder, "tokenizer": given.tokenizer, "unet": unet}
    LatentConsistencyModelPipeline(
        **parts,
        scheduler=LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(directory / "lcm")
    return directory / "lcm"
