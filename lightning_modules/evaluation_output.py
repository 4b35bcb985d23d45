"""What an evaluation step returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


@dataclass
class EvaluationOutput:
    """What a validation, test or prediction step returns: a row a sample of its batch.

    Callbacks read it (`callbacks.FeatureCollector`); what else they need stands in the batch. A task whose
    callback reads more than scores adds fields in a subclass of its own. Not frozen, because Lightning copies
    what a prediction step returns field by field.

    Attributes:
        image: L2-normalised image projections, ``(batch, projection)`` float32.
        pooled: Pooled image features before the projection, ``(batch, dim)`` float32.
        text: L2-normalised report projections, ``(batch, projection)`` float32; None for image-only data.
        scores: What the model says, higher for more likely: ``(batch, concept)``, or ``(batch,)`` for one
            question a sample; None for models that score nothing.
        index: Sample index, ``(batch,)`` int64, so that predictions can be put in order; None where the batch
            has none. (Callbacks take it from the batch.)
    """

    image: Tensor
    pooled: Tensor
    text: Tensor | None = None
    scores: Tensor | None = None
    index: Tensor | None = None

    @classmethod
    def of(
        cls, images: EncoderOutput, texts: EncoderOutput | None = None, index: Tensor | None = None
    ) -> EvaluationOutput:
        """Take the features of both towers.

        Args:
            images: What the image tower returned.
            texts: What the text tower returned, if there are reports.
            index: Sample index of each row.
        """
        text = None if texts is None else texts.projected
        return EvaluationOutput(images.projected, images.pooled.float(), text, index=index)
