"""The seam between the encoders and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from lightning_modules.objectives.gather import Gather

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class Objective(nn.Module, ABC):
    """A loss over a batch of image/report pairs.

    Its parameters (a temperature, projections of local features, prototypes …) are trained with the
    encoders'. It is called outside autocast; features other than ``projected`` may be bfloat16, so turn
    them to float32.

    Attributes:
        needs_negatives: Whether pairs of one batch are compared with each other, so that the loss of a
            batch is not the sum of the losses of its parts. Gradient accumulation and a batch of one pair
            are then refused.
    """

    needs_negatives: ClassVar[bool] = True

    @abstractmethod
    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss of the local pairs.

        Args:
            images: Features of the local images; row ``i`` belongs to row ``i`` of ``texts``.
            texts: Features of the local reports.
            batch: The batch they come from (see ``datamodules/batch.py``): labels, patients, views …
            gather: Brings the rows of the other ranks.

        Returns:
            ``"loss"``, a scalar to minimise, and any further scalars to log.
        """

    def after_step(self) -> None:
        """Bring parameters back into their allowed range; called after every optimiser step."""
