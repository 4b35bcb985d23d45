"""The base of downstream models that learn from masks where findings are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.batch import MASK_CONCEPTS, MASKS, data_facts
from lightning_modules.downstream.image_task import ImageTask
from lightning_modules.encoders import ImageEncoder


class LocalisationTask(ImageTask):
    """A downstream model of a tower's patches or maps, for some of the data's concepts.

    Args:
        image_encoder: The tower.
        concepts: What is looked for, names of concepts of the data, each once.
        **kwargs: See `ImageTask`.

    Raises:
        ValueError: If there is no concept, or one stands twice.
    """

    def __init__(self, image_encoder: ImageEncoder, concepts: Sequence[str], **kwargs: Any) -> None:
        super().__init__(image_encoder, **kwargs)
        if not concepts or len(set(concepts)) < len(concepts):
            raise ValueError(
                f"{type(self).__name__}: concepts={list(concepts)} must be one or more, each once"
            )
        self.concepts = tuple(concepts)
        self._shown = torch.zeros(len(self.concepts), dtype=torch.int64)

    def setup(self, stage: str) -> None:
        """See `ImageTask.setup`; finds the concepts in the data.

        Raises:
            ValueError: If the data does not know a concept.
        """
        super().setup(stage)
        known = data_facts(self.trainer).concept_names
        if unknown := [name for name in self.concepts if name not in known]:
            raise ValueError(
                f"{type(self).__name__}: concepts {unknown} are not among those of the data: "
                f"give some of {known}"
            )
        self._columns = [known.index(name) for name in self.concepts]

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: masks."""
        return frozenset({MASKS})

    def unused_modules(self) -> list[nn.Module]:
        """See `ImageTask.unused_modules`: pooling is not used either."""
        return [*super().unused_modules(), *(p for n, p in self.image_encoder.named_children() if n == "mix")]

    def found(
        self, batch: Mapping[str, Any], where: str = MASKS, concepts: str = MASK_CONCEPTS
    ) -> Iterator[list[tuple[int, Tensor]]]:
        """Yield each image's findings: place of the concept in `concepts`, and mask ``(height, width)`` bool.

        Args:
            batch: The batch.
            where: Its key of what to return, masks or boxes.
            concepts: Its key of their concepts.

        Raises:
            KeyError: If the batch has none.
        """
        if where not in batch:
            raise KeyError(
                f"the batch has no {where!r}: train and test on data that knows where findings are"
            )
        for places, columns in zip(batch[where], batch[concepts], strict=True):
            found = [
                (self._columns.index(column), place)
                for place, column in zip(places, columns.tolist(), strict=True)
                if column in self._columns
            ]
            if self.training:
                seen = [concept for concept, place in found if place.any()]  # an empty mask shows nothing
                self._shown[seen] += 1
            yield found

    def on_train_epoch_end(self) -> None:
        """Name the concepts that no image of the first epoch has shown: nothing can be learnt of them."""
        counts: Any = self.all_gather(self._shown.to(self.device))  # of every rank
        shown = counts.reshape(-1, len(self.concepts)).sum(0).tolist()
        missing = [name for name, count in zip(self.concepts, shown, strict=True) if not count]
        if missing and self.current_epoch == 0:
            rank_zero_warn(
                f"{type(self).__name__}: no training image of this epoch showed {missing}, so nothing is "
                "learnt of them: give data with their masks or regions, more of it, or leave them out of "
                f"model.init_args.concepts (images with the others: "
                f"{ {name: count for name, count in zip(self.concepts, shown, strict=True) if count} })"
            )
