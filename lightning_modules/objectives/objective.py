"""The seam between the encoders and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
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
        needs_tokens: Whether features of single patches and words are read (`EncoderOutput.local`). Where
            nobody reads them, a batch that is encoded in chunks does not keep them.
        needs: Keys that training batches must hold beside image and text (see ``datamodules/batch.py``), such
            as ``labels``, ``other_images``, or ``text_labels`` for texts of other patients. The data module
            supplies them or refuses. With ``twins`` among them, ``batch["twins"]`` holds `EncodedTwins`.
    """

    needs_negatives: bool = True
    needs_tokens: bool = True
    needs: frozenset[str] = frozenset()

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

    def over_views(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """Compute the loss of a training step whose samples may have several images and texts each.

        By default the mean over all pairings of an image view with a text view.

        Args:
            images: Features of each image view, at least one.
            texts: Features of each text view, at least one.
            batches: For each text view the batch with that text's tokens and claims.
            gather: Brings the rows of the other ranks.

        Returns:
            As `forward`.
        """
        found = [
            self(image, text, batch, gather)
            for image in images
            for text, batch in zip(texts, batches, strict=True)
        ]
        return {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """Compute the loss between two texts of each report (see ``DualEncoder.text_agreement``).

        Args:
            first: Features of one text of each report.
            second: Features of another.
            batch: The batch.
            gather: Brings the rows of the other ranks.

        Raises:
            ValueError: If the objective treats images and texts differently.
        """
        return self(first, second, batch, gather)["loss"]

    def after_step(self) -> None:
        """Bring parameters back into their allowed range; called after every optimiser step."""
