"""GLoRIA: a report is also compared word by word with the regions of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective
from lightning_modules.objectives.words import words_of
from synthesis.limits import at_least

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput

_TINY = 1e-12  # in place of a length of 0
_TEXTS_AT_ONCE = 16  # attention of all images to so many texts is held in memory; more is recomputed


class GLoRIA(Objective):
    """InfoNCE on the pooled features and on word-conditioned attention over image regions.

    Each word w of a text looks for itself in an image with regions r; the text fits the image as well as its
    words fit what they find there (inverse temperatures τ1, τ2, τ3)::

        c_w    = Σ_r softmax_r(τ1 · softmax_w(w·r)) r             attention-weighted region of a word
        Z(v,u) = log Σ_w exp(τ2 cos(w, c_w))                      fit of a text to an image
        local  = CE_rows(τ3 Z) + CE_columns(τ3 Z)
        global = CE_rows(τ3 cos(v, u)) + CE_columns(τ3 cos(v, u))
        loss   = local_weight · local + global_weight · global

    Huang et al. 2021, "GLoRIA: A Multimodal Global-Local Representation Learning Framework for
    Label-efficient Medical Image Recognition" (ICCV 2021; not on arXiv), with the inner
    softmax over words that the released code has (from AttnGAN, arXiv 1711.10485) and its settings: τ1 = 4,
    τ2 = 5, τ3 = 10, both weights 1. Words are word pieces here; the paper adds those of a word up. Its texts
    are single sentences. Over several ranks rows and columns are the pairs of all of them.

    Args:
        image_width: Dimension of the image encoder's tokens.
        text_width: Dimension of the text encoder's tokens.
        dim: Dimension in which words and regions meet.
        most_words: Words of a text that are looked for, ≥ 1; the released code reads 97 tokens. The local
            part takes images × texts × words × regions numbers.
        attention: τ1, > 0.
        word: τ2, > 0.
        scale: τ3, > 0.
        local_weight: Weight of the local term, ≥ 0.
        global_weight: Weight of the global term, ≥ 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        image_width: int,
        text_width: int,
        dim: int = 128,
        most_words: int = 97,
        attention: float = 4.0,
        word: float = 5.0,
        scale: float = 10.0,
        local_weight: float = 1.0,
        global_weight: float = 1.0,
    ) -> None:
        at_least(self, 1, image_width=image_width, text_width=text_width, dim=dim)
        super().__init__()
        if min(attention, word, scale, most_words) <= 0 or min(local_weight, global_weight) < 0:
            raise ValueError(
                f"GLoRIA: attention {attention}, word {word}, scale {scale} and most_words {most_words} "
                f"must be above 0, the weights {local_weight} and {global_weight} at least 0"
            )
        self.image_local = nn.Linear(image_width, dim, bias=False)
        self.text_local = nn.Linear(text_width, dim, bias=False)
        self.attention, self.word, self.scale, self.most_words = attention, word, scale, most_words
        self.local_weight, self.global_weight = local_weight, global_weight

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`) and its two terms."""
        own = gather.own(images.projected)
        image, text = images.projected.float(), texts.projected.float()
        whole = [self.scale * a @ gather(b).T for a, b in ((image, text), (text, image))]
        words, mask = (rows[:, : self.most_words] for rows in words_of(texts))
        regions, words = self.image_local(images.local.float()), self.text_local(words)
        to_texts = self.similarities(regions, gather.padded(words), gather.padded(mask.float()) > 0)
        # On one process both directions read the same matrix; over ranks each compares its own rows.
        alone = gather.world_size == 1
        to_images = to_texts.T if alone else self.similarities(gather(regions), words, mask).T
        parts = {
            "global_loss": F.cross_entropy(whole[0], own) + F.cross_entropy(whole[1], own),
            "local_loss": F.cross_entropy(to_texts, own) + F.cross_entropy(to_images, own),
        }
        loss = self.local_weight * parts["local_loss"] + self.global_weight * parts["global_loss"]
        return {"loss": loss, **parts}

    def similarities(self, regions: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Return τ3 · Z of every image with every text.

        Args:
            regions: ``(images, region, dim)``.
            words: ``(texts, word, dim)``.
            mask: ``(texts, word)`` bool, False for padding.

        Returns:
            ``(images, texts)``.
        """
        columns = [
            checkpoint(self._fit, regions, w, m, use_reentrant=False, preserve_rng_state=False)
            for w, m in zip(words.split(_TEXTS_AT_ONCE), mask.split(_TEXTS_AT_ONCE), strict=True)
        ]
        return self.scale * torch.cat(columns, dim=1)

    def _fit(self, regions: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Return Z, ``(images, texts)``.

        c_w itself is never made: with the shares a of regions, w·c_w = Σ_r a_r (w·r) and
        |c_w|² = Σ_rs a_r (r·s) a_s. That takes a third of the time.
        """
        scores = torch.einsum("ird,twd->irtw", regions, words)
        shares = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        attention = (self.attention * shares).softmax(1)
        along = (attention * scores).sum(1)
        flat = attention.flatten(2)
        squared = ((regions @ regions.transpose(1, 2) @ flat) * flat).sum(1).view_as(along)
        length = squared.clamp_min(_TINY).sqrt() * words.norm(dim=-1)
        fit = self.word * along / length.clamp_min(_TINY)
        return fit.masked_fill(~mask, -torch.inf).logsumexp(-1)

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """Refuse: two texts have no regions.

        Raises:
            ValueError: Always.
        """
        raise ValueError("GLoRIA compares words with image regions, not two texts: set text_agreement to 0")
