"""Where an image is like each concept's phrase: what grounding judges."""

from __future__ import annotations

from abc import ABC, abstractmethod

import lightning as L
from torch import Tensor

from callbacks.evaluations.zero_shot_prompts import Prompts
from datamodules.batch import DataFacts


class PhraseMaps(ABC):
    """Makes a coarse map a query of each image; higher is more alike.

    Attributes:
        reads_phrases: Whether queries may be phrases, and not only concepts.
    """

    reads_phrases = True

    @abstractmethod
    def prepare(self, model: L.LightningModule, facts: DataFacts, prompts: Prompts) -> None:
        """Take from the model what the maps of the phrases need.

        Args:
            model: A trained model, in evaluation.
            facts: Of the data.
            prompts: Of the queries: the data's concepts in label order, then phrases.

        Raises:
            TypeError: If the model cannot make such maps; says what to take instead.
        """

    @abstractmethod
    def maps(self, model: L.LightningModule, images: Tensor) -> Tensor:
        """Return the maps ``(batch, query, rows, columns)`` float32, in the order of the prompts.

        Args:
            model: The model.
            images: float32 ``(batch, 1, height, width)`` in [0, 1].
        """
