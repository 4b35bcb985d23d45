"""What a training batch has to hold, and its loss: an objective, agreement of texts, further terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from datamodules.batch import IMAGE, INPUT_IDS, OTHER_TEXTS, TEXT_LABELS, TWINS, Batch
from lightning_modules.chunks import Encode
from lightning_modules.encoders import EncoderOutput
from lightning_modules.objectives import Gather, LossTerm, Objective
from lightning_modules.views import with_exchanged_sides, with_twins


@dataclass(frozen=True)
class TrainingLoss:
    """The loss of pre-training.

    Attributes:
        objective: The loss between images and texts.
        terms: What is added to it, each with its weight.
        text_agreement: Weight of the objective between the first two texts of each report, where there are
            several.
    """

    objective: Objective
    terms: Sequence[LossTerm]
    text_agreement: float

    @property
    def needs(self) -> frozenset[str]:
        """The keys that training batches must hold."""
        agreeing = {OTHER_TEXTS} if self.text_agreement else set()
        return self.objective.needs.union({INPUT_IDS, *agreeing}, *(term.needs for term in self.terms))

    @property
    def needs_negatives(self) -> bool:
        """Whether pairs of one batch are compared with each other: see `Objective`."""
        return self.objective.needs_negatives or any(term.needs_negatives for term in self.terms)

    @property
    def needs_tokens(self) -> bool:
        """Whether features of single patches and words are read: see `Objective`."""
        return self.objective.needs_tokens or any(term.needs_tokens for term in self.terms)

    def check_accumulation(self, batches: int) -> None:
        """Refuse to accumulate the gradients of batches whose pairs are compared with each other.

        Args:
            batches: How many the trainer accumulates; 1 for none.

        Raises:
            ValueError: If it accumulates and `needs_negatives`.
        """
        if batches != 1 and self.needs_negatives:
            raise ValueError(
                f"trainer.accumulate_grad_batches is {batches}, but {self._name} compares the pairs of a "
                "batch: accumulating adds up small batches and makes no large one. Set it to 1, and raise "
                "data.init_args.loader.batch_size (model.init_args.encoded_at_once bounds the memory) or "
                "add devices"
            )

    def check_batch(self, batch: Batch, number: int, ranks: int) -> None:
        """Refuse a training batch that says nothing.

        Args:
            batch: The batch.
            number: Which one it is.
            ranks: How many processes have one as large.

        Raises:
            ValueError: If it has no reports, those of other patients, or too few pairs to tell apart.
        """
        if INPUT_IDS not in batch:
            raise ValueError(f"a training batch has no {INPUT_IDS!r}, only {sorted(batch)}: train on pairs")
        if len(batch[IMAGE]) * ranks < 2 and self.needs_negatives:
            raise ValueError(
                f"training batch {number} holds one pair: {self._name} needs another to tell it from. Raise "
                "loader.batch_size, and leave out an incomplete last batch (drop_last)"
            )
        if TEXT_LABELS in batch and TEXT_LABELS not in self.objective.needs:
            raise ValueError(
                f"the texts of this batch are of other patients, but {self._name} learns from pairs: leave "
                "text_labels out of what the data is asked for"
            )

    def with_twins(
        self, image_encoder: Encode, text_encoder: Encode, batch: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the batch with its twins encoded, as far as they are compared (see `views.with_twins`).

        Texts of exchanged sides are encoded, too.
        """
        batch = with_exchanged_sides(text_encoder, batch)
        compared = TWINS in self.objective.needs
        if not compared and not any(TWINS in term.needs for term in self.terms):
            return batch
        return with_twins(image_encoder, text_encoder, batch, reports=compared)

    def __call__(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """Compute the loss of the local pairs: see `Objective.over_views`.

        Returns:
            ``"loss"``, a scalar to minimise, and further scalars to log.
        """
        scalars = self.objective.over_views(images, texts, batches, gather)
        if self.text_agreement and len(texts) > 1:
            agreement = self.objective.agreement(texts[0], texts[1], batches[0], gather)
            scalars |= {"text_loss": agreement, "loss": scalars["loss"] + self.text_agreement * agreement}
        for term in self.terms:
            found = term(images, texts, batches, gather)
            loss = scalars["loss"] + term.weight * found["loss"]
            scalars |= {**{f"{term.name}_{name}": value for name, value in found.items()}, "loss": loss}
        return scalars

    @property
    def _name(self) -> str:
        return type(self.objective).__name__
