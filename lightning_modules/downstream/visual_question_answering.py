"""Visual question answering: yes or no, from the tokens of a question that look at an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import ANSWER, QUESTION, Batch
from lightning_modules.downstream.text_task import TextTask
from lightning_modules.encoders import ImageEncoder, TextEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from synthesis.limits import at_least, below


class VisualQuestionAnswering(TextTask):
    """Closed questions: the question's tokens attend to the image's patches, and their mean is classified.

    Both towers come from pre-training and are tuned (or frozen); the fusion is a transformer decoder of
    PyTorch without causal mask, from scratch. The loss is binary cross-entropy.

    Evaluation steps return ``scores`` ``(batch,)``, the logit of "yes", for `callbacks.QuestionAnswering`.

    Args:
        image_encoder: Tower for images.
        text_encoder: Tower for questions.
        fusion_layers: Blocks of the fusion.
        fusion_heads: Attention heads a block.
        dropout: Dropout rate of the fusion.
        **kwargs: See `ImageTask`.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        text_encoder: TextEncoder,
        fusion_layers: int = 2,
        fusion_heads: int = 4,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, fusion_layers=fusion_layers, fusion_heads=fusion_heads)
        below(self, 1, dropout=dropout)
        super().__init__(image_encoder, **kwargs)
        self.text_encoder = text_encoder
        width = text_encoder.width
        if width % fusion_heads:
            raise ValueError(
                f"VisualQuestionAnswering: the text encoder's width {width} is no multiple of fusion_heads "
                f"{fusion_heads}: give a divisor of {width}"
            )
        self.patches = nn.Linear(image_encoder.width, width)
        layer = nn.TransformerDecoderLayer(
            width, fusion_heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.fusion = nn.TransformerDecoder(layer, fusion_layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, 1)

    def setup(self, stage: str) -> None:
        """See `TextTask.setup`; also makes sure that the data asks questions the text encoder can read.

        Raises:
            ValueError: If it does not.
        """
        super().setup(stage)
        self.text_encoder.check_tokenizer(self.tokenizer)

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: questions with their answers."""
        return frozenset({QUESTION, ANSWER})

    def towers(self) -> dict[str, nn.Module]:
        """See `ImageTask.towers`."""
        return {"image_encoder": self.image_encoder, "text_encoder": self.text_encoder}

    def unused_modules(self) -> list[nn.Module]:
        """See `ImageTask.unused_modules`: pooling is not used either."""
        pooling = [part for name, part in self.image_encoder.named_children() if name == "mix"]
        return [*super().unused_modules(), self.text_encoder.projection, *pooling]

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        scores = self._answer(batch, self.image_encoder(batch).local)
        return F.binary_cross_entropy_with_logits(scores.float(), batch[ANSWER])

    def outputs(self, batch: Batch) -> EvaluationOutput:
        """Return features and scores."""
        images = self.image_encoder(batch)
        return replace(EvaluationOutput.of(images), scores=self._answer(batch, images.local).float())

    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        outputs = self.outputs(batch)
        assert outputs.scores is not None
        return outputs, F.binary_cross_entropy_with_logits(outputs.scores, batch[ANSWER])

    def _answer(self, batch: Batch, patches: Tensor) -> Tensor:
        question = self.text_encoder(batch)
        padding = ~question.local_mask
        fused = self.fusion(question.local, self.patches(patches), tgt_key_padding_mask=padding)
        weights = question.local_mask.to(fused.dtype)[..., None]
        return self.head((fused * weights).sum(1) / weights.sum(1))[:, 0]
