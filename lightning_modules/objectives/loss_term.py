"""The seam between the encoders and a further term of the loss, beside any objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from datamodules.batch import DataFacts
from lightning_modules.objectives.gather import Gather
from synthesis.limits import at_least

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput, ImageEncoder


class LossTerm(nn.Module, ABC):
    """A term that training adds to the loss of any objective (``DualEncoder(terms=[…])``).

    Its parameters are trained with the encoders'; evaluation and export do without it. Layers in
    ``configs/terms/`` append to ``model.init_args.terms``, so that several are laid over each other. It is
    called outside autocast; features other than ``projected`` may be bfloat16.

    Args:
        weight: Of the term in the loss, ≥ 0.

    Attributes:
        name: What its scalars are logged under: ``train/<name>_loss``.
        needs: As of `Objective`. With ``twins`` among them ``batch["twins"]`` holds `EncodedTwins`, whose
            reports are encoded where the objective reads them, with ``twin_prompts`` `EncodedPrompts`.
        needs_negatives: As of `Objective`.
        needs_tokens: As of `Objective`.
    """

    name: str
    needs: frozenset[str] = frozenset()
    needs_negatives: bool = False
    needs_tokens: bool = True

    def __init__(self, weight: float = 1.0) -> None:
        at_least(self, 0, weight=weight)
        super().__init__()
        self.weight = weight

    def prepare(self, image_encoder: ImageEncoder, facts: DataFacts) -> None:
        """Look at tower and data before training begins; nothing by default.

        Args:
            image_encoder: The tower whose features the term gets.
            facts: What the data module states.

        Raises:
            ValueError: If the term cannot be computed with them; the message says what to change.
        """

    @abstractmethod
    def forward(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """Compute the term for the local pairs of a training step: see `Objective.over_views`.

        Returns:
            ``"loss"``, a scalar that is added with the weight, and any further scalars to log.
        """
