"""The base of downstream models that read or write texts."""

from __future__ import annotations

from typing import Any

from datamodules.batch import data_facts
from lightning_modules.carried_tokenizer import keep_tokenizer, take_tokenizer
from lightning_modules.downstream.image_task import ImageTask
from lightning_modules.encoders import ImageEncoder
from lightning_modules.warm_start import TrainedWeights


class TextTask(ImageTask):
    """A downstream model that keeps the tokenizer whose numbers it has learnt.

    Where training begins from pre-trained weights, their tokenizer comes along and the data take it: numbers
    of another would be other words to the text tower. A checkpoint holds it, and outside training the data
    take it from there.

    Args:
        image_encoder: The tower.
        **kwargs: See `ImageTask`.

    Attributes:
        tokenizer: What turns texts into numbers; None before `setup`.
    """

    def __init__(self, image_encoder: ImageEncoder, **kwargs: Any) -> None:
        super().__init__(image_encoder, **kwargs)
        self.tokenizer: Any = None

    def setup(self, stage: str) -> None:
        """See `ImageTask.setup`; also takes the tokenizer.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            ValueError: If the data has none.
        """
        super().setup(stage)
        facts = data_facts(self.trainer)
        if facts.tokenizer is None:
            raise ValueError(
                f"{type(self).__name__}: the data has no texts, hence no tokenizer: train on data with texts"
            )
        if stage == "fit" and self.weights is not None:
            facts.tokenizer = TrainedWeights.read(self.weights).tokenizer or facts.tokenizer
        self.tokenizer = facts.tokenizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokenizer."""
        keep_tokenizer(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture; take the tokenizer.

        Raises:
            ValueError: If the checkpoint does not fit this model, or in training the data's tokenizer.
        """
        super().on_load_checkpoint(checkpoint)
        take_tokenizer(self, checkpoint)
