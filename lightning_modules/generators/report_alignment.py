"""Whether what a generator draws shows what the report says, by a dual encoder that does not learn."""

from __future__ import annotations

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
from synthesis.reports.sides import with_sides_exchanged


class ReportAlignment:
    """A loss that asks a frozen dual encoder which report a drawn image belongs to.

    It asks twice. Which report of the batch: InfoNCE from image to report. And which side: the image's own
    report, or the same with left and right exchanged, for reports of a batch seldom differ in a side alone.
    Both are asked as far as the drawn image does worse than the training image of the same report: a
    generator that goes on once that is reached learns patterns that please this encoder and nobody else.
    Frozen encoders guide GANs so (Zhang et al. 2021, XMC-GAN, arXiv 2101.04702, contrast reports; Sauer et
    al. 2023, StyleGAN-T, arXiv 2301.09515, a frozen CLIP).

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
        exchanged = [with_sides_exchanged(prompt) for prompt in prompts]
        texts, count = self._encoded([*prompts, *exchanged]), len(prompts)
        seen = _disturbed(torch.cat([drawn, real.to(drawn)]))
        found = self._logits(seen[:count], texts)
        with torch.no_grad():
            bar = self._logits(seen[count:], texts)
        asked = torch.zeros((), device=drawn.device)
        for competes in (_of_the_batch(prompts), _of_either_side(prompts, exchanged)):
            surprises = (_surprise(logits, competes.to(drawn.device)) for logits in (found, bar))
            asked = asked + torch.sub(*surprises).clamp_min(0).mean()
        return self.weight * asked

    def _logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return how well each image agrees with each text, ``(image, text)``."""
        tower = self._model.image_encoder
        features = tower({IMAGE: resized(images.float(), tower.image_size)}).projected.float()
        return features @ texts.T / self._model.temperature

    def _encoded(self, prompts: Sequence[str]) -> Tensor:
        """Return the features of prompts ``(batch, projection)``; each is encoded once in a run."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._texts]
        with torch.autocast(self._model.device.type, enabled=False):
            self._texts |= dict(zip(new, self._model.encode_text(new).cpu(), strict=True))
        return torch.stack([self._texts[prompt] for prompt in prompts]).to(self._model.device)


def _of_the_batch(prompts: Sequence[str]) -> Tensor:
    """Return which of ``[*prompts, *exchanged]`` compete for each image: its own, and all that differ."""
    unlike = [[i == j or a != b for j, b in enumerate(prompts)] for i, a in enumerate(prompts)]
    return F.pad(torch.tensor(unlike), (0, len(prompts)))


def _of_either_side(prompts: Sequence[str], exchanged: Sequence[str]) -> Tensor:
    """Return the same for the own report and that with its sides exchanged, if it names any."""
    differs = torch.tensor([a != b for a, b in zip(prompts, exchanged, strict=True)])
    return torch.cat([torch.eye(len(prompts), dtype=torch.bool), differs.diag()], 1)


def _surprise(logits: Tensor, competes: Tensor) -> Tensor:
    """Return −log p(own report | image) among those that compete, of each image, nats."""
    own = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits.masked_fill(~competes, -torch.inf), own, reduction="none")


def _disturbed(images: Tensor) -> Tensor:
    """Return square images, all shifted (by up to an eighth), blurred and covered with noise alike."""
    side = images.shape[-1]
    most = side // 8
    down, right = torch.randint(0, 2 * most + 1, (2,)).tolist()
    padded = F.pad(images.float(), (most,) * 4, mode="replicate")
    shifted = padded[..., down : down + side, right : right + side]
    coarse = resized(shifted, int(torch.randint(side // 2, side + 1, ())))
    return coarse + 0.1 * torch.rand(()).item() * torch.randn_like(coarse[:1])
