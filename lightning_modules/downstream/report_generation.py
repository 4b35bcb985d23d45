"""Report generation: a language model that looks at the image encoder's patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from datamodules.batch import ATTENTION_MASK, INPUT_IDS, Batch, data_facts
from lightning_modules.checkpoints import restore_tokenizer, tokenizer_to_text
from lightning_modules.downstream.image_task import ImageTask
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.vit_encoder import ViTEncoder
from synthesis.limits import at_least, below

_IGNORED = -100  # what transformers' losses leave out


@dataclass(kw_only=True)
class ReportOutput(EvaluationOutput):
    """What a test step of `ReportGeneration` returns: texts as the tokenizer decodes them (lower case).

    Attributes:
        generated: The reports that the model wrote.
        reference: The true ones.
    """

    generated: list[str]
    reference: list[str]


class ReportGeneration(ImageTask):
    """`transformers.VisionEncoderDecoderModel` of the pre-trained tower and a BERT decoder from scratch.

    Trained to say the next word of the report, given the image and the words before. Reports are generated at
    test alone, greedily; the epoch is chosen by the validation loss.

    Test steps return a `ReportOutput`, for `callbacks.ReportScores`.

    Args:
        image_encoder: The tower, a vision transformer.
        vocab_size: Rows of the word-piece table; at least as many as the data's tokenizer has.
        width: Width of the decoder's tokens.
        layers: Blocks of the decoder.
        heads: Attention heads a block.
        max_length: Most tokens of a report.
        dropout: Dropout rate of the decoder.
        **kwargs: See `ImageTask`.
    """

    def __init__(
        self,
        image_encoder: ViTEncoder,
        vocab_size: int = 4096,
        width: int = 192,
        layers: int = 4,
        heads: int = 3,
        max_length: int = 192,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        at_least(
            self, 1, vocab_size=vocab_size, width=width, layers=layers, heads=heads, max_length=max_length
        )
        below(self, 1, dropout=dropout)
        super().__init__(image_encoder, **kwargs)
        from transformers import BertConfig, BertLMHeadModel, VisionEncoderDecoderModel

        decoder = BertLMHeadModel(
            BertConfig(
                vocab_size=vocab_size,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=4 * width,
                max_position_embeddings=max_length,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
                is_decoder=True,
                add_cross_attention=True,
            )
        )
        self.vocab_size, self.max_length = vocab_size, max_length
        # It shares the tower's transformer; a checkpoint holds shared tensors once.
        self.captioner = VisionEncoderDecoderModel(encoder=image_encoder.vit, decoder=decoder)
        self.tokenizer: Any = None

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: reports."""
        return frozenset({INPUT_IDS})

    def setup(self, stage: str) -> None:
        """See `ImageTask.setup`; also takes the tokenizer from the data.

        Raises:
            ValueError: If the data has no reports, or its tokenizer more words than the decoder.
        """
        super().setup(stage)
        self.tokenizer = data_facts(self.trainer).tokenizer
        if self.tokenizer is None:
            raise ValueError("ReportGeneration: the data has no reports, hence no tokenizer: train on pairs")
        if len(self.tokenizer) > self.vocab_size:
            raise ValueError(
                f"ReportGeneration: the tokenizer has {len(self.tokenizer)} word pieces, the decoder "
                f"{self.vocab_size} rows: set its vocab_size to {len(self.tokenizer)} or more"
            )
        self.configure_tokens()

    def configure_tokens(self) -> None:
        """Tell the captioner which tokens begin, end and pad a text."""
        tokens = self.tokenizer
        for config in (self.captioner.config, self.captioner.generation_config):
            config.decoder_start_token_id, config.pad_token_id = tokens.cls_token_id, tokens.pad_token_id
            config.eos_token_id, config.bos_token_id = tokens.sep_token_id, tokens.cls_token_id

    def unused_modules(self) -> list[nn.Module]:
        """See `ImageTask.unused_modules`: pooling is not used either."""
        return [*super().unused_modules(), *(p for n, p in self.image_encoder.named_children() if n == "mix")]

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        return self._loss(batch, self.image_encoder(batch).local)

    def outputs(self, batch: Batch) -> ReportOutput:
        """Return features, generated reports, and the true ones as they come back from the tokenizer."""
        images = self.image_encoder(batch)
        features = EvaluationOutput.of(images)
        reference = self.tokenizer.batch_decode(batch[INPUT_IDS], skip_special_tokens=True)
        generated = self.generate(images.local)
        return ReportOutput(features.image, features.pooled, generated=generated, reference=reference)

    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """Return features and the loss; reports are generated at test alone."""
        images = self.image_encoder(batch)
        return EvaluationOutput.of(images), self._loss(batch, images.local)

    def generate(self, patches: Tensor) -> list[str]:
        """Write reports, greedily.

        Args:
            patches: ``(batch, token, dim)`` of the image encoder.
        """
        from transformers.modeling_outputs import BaseModelOutput

        tokens = self.captioner.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=patches),
            max_length=self.max_length,
            do_sample=False,
            num_beams=1,
        )
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def _loss(self, batch: Batch, patches: Tensor) -> Tensor:
        ids, mask = batch[INPUT_IDS][:, 1:], batch[ATTENTION_MASK][:, 1:]  # the first starts the decoder
        labels = ids.masked_fill(mask == 0, _IGNORED)
        loss: Tensor = self.captioner(encoder_outputs=(patches,), labels=labels).loss
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokenizer."""
        if self.tokenizer is not None:
            checkpoint["tokenizer"] = tokenizer_to_text(self.tokenizer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture or tokenizer.

        Raises:
            ValueError: If the checkpoint does not fit this model or the data's tokenizer.
        """
        super().on_load_checkpoint(checkpoint)
        self.tokenizer = restore_tokenizer(checkpoint.get("tokenizer"), self.tokenizer)
