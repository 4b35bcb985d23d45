"""What a finding changes in an image is what its words say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from datamodules.batch import TWIN_PROMPTS, TWINS
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.loss_term import LossTerm

if TYPE_CHECKING:
    from lightning_modules.encoders import EncodedPrompts, EncodedTwins, EncoderOutput

SHORTEST = 0.1
"""Differences shorter than this are divided by it, not by their length: the gradient stays bounded."""


class TwinDirection(LossTerm):
    """The difference of two counterfactual twins points where the finding's prompts point.

    Image v shows a finding that its twin v' lacks; patient, exposure and noise are the same. p⁺ and p⁻ are a
    prompt that asserts the finding and one that denies it, drawn anew for each pair in each epoch from the
    catalogue's. Over the pairs that have a twin::

        loss = mean 1 − (v − v')·(p⁺ − p⁻) / (max(|v − v'|, 0.1) · |p⁺ − p⁻|)

    Zero-shot classification reads v·(p⁺ − p⁻); this asks that the finding alone moves it. The form is the
    directional loss of Gal et al. 2021, StyleGAN-NADA (arXiv 2108.00946); using it to train an encoder on
    twins is ours, without a published setting. The prompts give no gradient: the objective teaches the words.
    It encodes a second image and two prompts a pair; `CounterfactualTwins` can stand beside it.

    Args:
        weight: See `LossTerm`.
    """

    name = "direction"
    needs = frozenset({TWINS, TWIN_PROMPTS})
    needs_tokens = False

    def forward(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `LossTerm.forward`; in the first image view.

        Returns:
            ``loss``, and ``pairs``, the share of pairs that have a twin.
        """
        twins: EncodedTwins = batches[0][TWINS]
        prompts: EncodedPrompts = batches[0][TWIN_PROMPTS]
        seen = images[0].projected.float() - twins.images.projected.float()
        said = (prompts.present.projected - prompts.absent.projected).detach().float()
        seen_length = seen.norm(dim=1).clamp_min(SHORTEST)
        along = (seen * said).sum(1) / (seen_length * said.norm(dim=1).clamp_min(1e-6))
        differs = twins.differs.float()
        # Ranks have different numbers of twins: the mean is over those of all ranks, and DDP averages ranks.
        share = gather.world_size * differs / gather(differs).sum().clamp_min(1)
        return {"loss": ((1 - along) * share).sum(), "pairs": differs.mean()}
