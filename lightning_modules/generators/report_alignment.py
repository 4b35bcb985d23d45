"""Whether what a generator draws shows what the report says, by a dual encoder that does not learn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import IMAGE
from lightning_modules.checkpoints import load_model
from lightning_modules.generators.images import resized
from lightning_modules.two_towers import TwoTowers
from synthesis.limits import above

_OTHER_SIDE = {"left": "right", "right": "left"}


class ReportAlignment:
    """A loss that asks a frozen dual encoder which report of the batch a drawn image belongs to.

    InfoNCE from image to report, where each image's own report with the sides exchanged competes too: reports
    of a batch seldom differ in a side alone. It is asked as far as the drawn image does worse than the
    training image of the same report: a generator that goes on once that is reached learns patterns that
    please this encoder and nobody else. Frozen encoders guide GANs so (Zhang et al. 2021, XMC-GAN, arXiv
    2101.04702, contrast reports; Sauer et al. 2023, StyleGAN-T, arXiv 2301.09515, a frozen CLIP).

    Both images are shifted, blurred and covered with noise alike before they are looked at, or faint patterns
    that only an encoder sees would do (Zhao et al. 2020, arXiv 2006.10738, for discriminators).

    Judge what was trained with it by another encoder. Its weights are no part of the generator's checkpoint.

    Args:
        encoder: Checkpoint (``.ckpt``) of a dual encoder.
        weight: Of this loss beside the generator's own.

    Raises:
        ValueError: If there is no such file, or it holds another kind of model.
    """

    def __init__(self, encoder: str, weight: float = 0.3) -> None:
        above(self, 0, weight=weight)
        if not Path(encoder).is_file():
            raise ValueError(
                f"ReportAlignment: encoder={encoder!r} is no file; train a dual encoder (`make fit`) and "
                "give its checkpoint, or set alignment to null"
            )
        model: Any = load_model(encoder)
        if not isinstance(model, TwoTowers):
            raise ValueError(
                f"ReportAlignment: encoder={encoder!r} holds a {type(model).__name__}, which compares no "
                "image with a report; give the checkpoint of a dual encoder"
            )
        self.encoder, self.weight = encoder, weight
        self._model = model.requires_grad_(False).eval()
        self._texts: dict[str, Tensor] = {}

    def __call__(self, drawn: Tensor, real: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the weighted loss, a scalar.

        Args:
            drawn: What was drawn for each prompt, ``(batch, 1, height, width)`` in [0, 1].
            real: Training images with the same prompts, of the same shape.
            prompts: What the images are to show. Equal ones do not compete.
        """
        self._model.to(drawn.device)
        rivals = [*prompts, *(with_sides_exchanged(prompt) for prompt in prompts)]
        texts, count = self._encoded(rivals), len(prompts)
        competes = torch.tensor(
            [
                [j == i or (rival != own and (j < count or j == count + i)) for j, rival in enumerate(rivals)]
                for i, own in enumerate(prompts)
            ],
            device=drawn.device,
        )
        seen = _disturbed(torch.cat([drawn, real.to(drawn)]))
        with torch.no_grad():
            bar = self._surprise(seen[count:], texts, competes)
        return self.weight * (self._surprise(seen[:count], texts, competes) - bar).clamp_min(0).mean()

    def _surprise(self, images: Tensor, texts: Tensor, competes: Tensor) -> Tensor:
        """Return −log p(own report | image) of each image, nats."""
        tower = self._model.image_encoder
        features = tower({IMAGE: resized(images.float(), tower.image_size)}).projected.float()
        logits = (features @ texts.T / self._model.temperature).masked_fill(~competes, -torch.inf)
        return F.cross_entropy(logits, torch.arange(len(images), device=images.device), reduction="none")

    def _encoded(self, prompts: Sequence[str]) -> Tensor:
        """Return the features of prompts ``(batch, projection)``; each is encoded once in a run."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._texts]
        with torch.autocast(self._model.device.type, enabled=False):
            self._texts |= dict(zip(new, self._model.encode_text(new).cpu(), strict=True))
        return torch.stack([self._texts[prompt] for prompt in prompts]).to(self._model.device)


def with_sides_exchanged(text: str) -> str:
    """Return a text with left and right exchanged, each in the case of the word it stands for."""

    def exchanged(word: re.Match[str]) -> str:
        other = _OTHER_SIDE[word[0].lower()]
        return other.upper() if word[0].isupper() else other.title() if word[0][0].isupper() else other

    return re.sub(r"\b(?:left|right)\b", exchanged, text, flags=re.IGNORECASE)


def _disturbed(images: Tensor) -> Tensor:
    """Return square images, all shifted (by up to an eighth), blurred and covered with noise alike."""
    side = images.shape[-1]
    most = side // 8
    down, right = torch.randint(0, 2 * most + 1, (2,)).tolist()
    padded = F.pad(images.float(), (most,) * 4, mode="replicate")
    shifted = padded[..., down : down + side, right : right + side]
    coarse = resized(shifted, int(torch.randint(side // 2, side + 1, ())))
    return coarse + 0.1 * torch.rand(()).item() * torch.randn_like(coarse[:1])
