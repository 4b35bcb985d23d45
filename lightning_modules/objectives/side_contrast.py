"""A report is told from itself with left and right exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import SIDES_EXCHANGED
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.loss_term import LossTerm
from synthesis.limits import above

if TYPE_CHECKING:
    from lightning_modules.encoders import EncodedExchange, EncoderOutput


class SideContrast(LossTerm):
    """Each image agrees more with its report than with the same report, left and right exchanged.

    Reports of a batch seldom differ in a side alone, so an objective that compares them learns little about
    sides. With v an image, t its first text and t' the same with the sides exchanged, over the reports that
    become false by that (they say that a finding is on one side)::

        loss = mean softplus(−v·(t − t') / τ)

    Hard negatives by exchanged words are those of NegCLIP (Yuksekgonul et al. 2023, arXiv 2210.01936), which
    exchanges any two; sides alone, as a term by itself, is ours, without a published setting.

    Args:
        weight: See `LossTerm`.
        temperature: τ.
    """

    name = "sides"
    needs = frozenset({SIDES_EXCHANGED})
    needs_tokens = False

    def __init__(self, weight: float = 0.5, temperature: float = 0.07) -> None:
        super().__init__(weight)
        above(self, 0, temperature=temperature)
        self.temperature = temperature

    def forward(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `LossTerm.forward`; in the first image view and the first text view.

        Returns:
            ``loss``, and ``accuracy``, the share of images that prefer their own report.
        """
        exchanged: EncodedExchange = batches[0][SIDES_EXCHANGED]
        apart = texts[0].projected.float() - exchanged.texts.projected.float()
        margins = (images[0].projected.float() * apart).sum(1) / self.temperature
        contradicts = exchanged.contradicts.float()
        # Ranks have different numbers of such reports: the mean is over those of all, and DDP averages ranks.
        share = gather.world_size * contradicts / gather(contradicts).sum().clamp_min(1)
        return {
            "loss": (F.softplus(-margins) * share).sum(),
            "accuracy": ((margins > 0) * contradicts).sum() / contradicts.sum().clamp_min(1),
        }
