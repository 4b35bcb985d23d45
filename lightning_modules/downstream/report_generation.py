"""Report generation: a language model that looks at the image encoder's patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import ATTENTION_MASK, INPUT_IDS, LABELS, Batch, data_facts
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.downstream.fine_tune import masked_cross_entropy
from lightning_modules.downstream.image_task import load_tower_weights
from lightning_modules.downstream.text_task import TextTask
from lightning_modules.encoders import EncoderOutput
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.vit_encoder import ViTEncoder
from synthesis.limits import at_least, below

_IGNORED = -100  # what transformers' losses leave out
_AT_FIRST = 0.3  # before the first validation: half of the F1 hoped for (Lipton et al. 2014, arXiv 1402.1892)

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Probabilities among which that is chosen from which a concept is told."""


@dataclass(kw_only=True)
class ReportOutput(EvaluationOutput):
    """What a test step of `ReportGeneration` returns: texts as the tokenizer decodes them (lower case).

    Attributes:
        generated: The reports that the model wrote.
        reference: The true ones.
    """

    generated: list[str]
    reference: list[str]


class ReportGeneration(TextTask):
    """`transformers.VisionEncoderDecoderModel` of the pre-trained image tower and the pre-trained text tower.

    The decoder has the sizes of the text tower and begins with its weights (Rothe et al. 2020, arXiv
    1907.12461): words, places and self-attention. Attention to the image is new. It is trained to say the
    next word of the report, given the image and the words before. Reports are generated at test alone, by
    beam search; the epoch is chosen by the validation loss.

    Words alone tell most of the next words, so that the loss hardly asks for the image: a decoder can know
    its reports by heart and look at nothing. Hence what each concept is, present or absent, is added to every
    patch that it attends to (diagnosis-driven prompts: PromptMRG, Jin et al. 2024, arXiv 2308.12604): in
    training as the labels have it, else as a linear head on the pooled features says, which is trained with
    it by binary cross-entropy.

    Test steps return a `ReportOutput`, for `callbacks.ReportScores`.

    Args:
        image_encoder: The tower, a vision transformer.
        text_encoder: The text tower, which the decoder is a copy of.
        max_length: Most tokens of a report; at most those of the text tower.
        dropout: Dropout rate of the decoder.
        beams: Beams of the search; 1 is greedy.
        length_penalty: Exponent of the length by which a beam's log-probability is divided: above 0 longer
            reports gain.
        threshold: Probability from which a concept is told to the decoder as present. None takes that of
            `THRESHOLDS` which has the best F1, pooled over concepts, on the validation split, chosen anew at
            each validation and kept in the checkpoint (`told_from`).
        **kwargs: See `ImageTask`.

    Raises:
        ValueError: If ``max_length`` is more than the text tower reads, or its weights are not BERT's alone.
    """

    told_from: Tensor

    def __init__(
        self,
        image_encoder: ViTEncoder,
        text_encoder: BertEncoder,
        max_length: int = 192,
        dropout: float = 0.1,
        beams: int = 3,
        length_penalty: float = 1.0,
        threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, max_length=max_length, beams=beams)
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"ReportGeneration: threshold={threshold} must be in (0, 1)")
        below(self, 1, dropout=dropout)
        super().__init__(image_encoder, **kwargs)
        if max_length > text_encoder.max_length:
            raise ValueError(
                f"ReportGeneration: max_length is {max_length}, the text encoder reads "
                f"{text_encoder.max_length} tokens: give at most these"
            )
        from transformers import BertConfig, BertLMHeadModel, VisionEncoderDecoderModel

        sizes = text_encoder.bert.config.to_dict() | {
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
            "is_decoder": True,
            "add_cross_attention": True,
        }
        decoder = BertLMHeadModel(BertConfig(**sizes))
        self.max_length, self.beams, self.length_penalty = max_length, beams, length_penalty
        # It shares the image tower's transformer; a checkpoint holds shared tensors once.
        self.captioner = VisionEncoderDecoderModel(encoder=image_encoder.vit, decoder=decoder)
        self._text_encoder = (text_encoder,)  # where weights come from; no part of the model
        self._begin_as(text_encoder)
        # BERT's small start would leave the image unheard until the words are known by heart.
        for name, parameter in decoder.named_parameters():
            if ".crossattention." in name and parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
        self.threshold = threshold
        self.register_buffer("told_from", torch.tensor(_AT_FIRST if threshold is None else threshold))
        self._counts: list[Tensor] = []
        self.findings: nn.Linear | None = None
        self.told: nn.Linear | None = None

    def _begin_as(self, text_encoder: BertEncoder) -> None:
        """Give the decoder the weights of the text tower; attention to the image has none there."""
        left = self.captioner.decoder.bert.load_state_dict(text_encoder.bert.state_dict(), strict=False)
        if others := [name for name in left.missing_keys if ".crossattention." not in name]:
            raise ValueError(
                f"ReportGeneration: the text encoder has no {others[0]!r}, but {left.unexpected_keys[:1]}: "
                "take one without LoRA (adaptation: null)"
            )

    def needs(self, stage: str) -> frozenset[str]:
        """See `ImageTask.needs`: reports."""
        return frozenset({INPUT_IDS})

    def setup(self, stage: str) -> None:
        """See `TextTask.setup`; also starts the decoder.

        Raises:
            ValueError: If the data has no reports, or words that the decoder cannot read.
        """
        super().setup(stage)
        (text_encoder,) = self._text_encoder
        if stage == "fit" and self.weights is not None:
            load_tower_weights(text_encoder, self.weights, "text_encoder")
            self._begin_as(text_encoder)
        text_encoder.check_tokenizer(self.tokenizer)
        if self.findings is None:
            self.add_concepts(len(data_facts(self.trainer).concept_names))
        self.configure_tokens()

    def add_concepts(self, number: int) -> None:
        """Add what says of each concept whether it is present, and what tells it to the decoder.

        Args:
            number: Concepts of the data; without any, patches are all that is read.
        """
        width = self.image_encoder.width
        self.findings = nn.Linear(width, number)
        self.told = nn.Linear(number, width)

    def configure_tokens(self) -> None:
        """Tell the captioner which tokens begin, end and pad a text."""
        tokens = self.tokenizer
        for config in (self.captioner.config, self.captioner.generation_config):
            config.decoder_start_token_id, config.pad_token_id = tokens.cls_token_id, tokens.pad_token_id
            config.eos_token_id, config.bos_token_id = tokens.sep_token_id, tokens.cls_token_id

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        return self._loss(batch, self.image_encoder(batch))

    def outputs(self, batch: Batch) -> ReportOutput:
        """Return features, generated reports, and the true ones as they come back from the tokenizer."""
        images = self.image_encoder(batch)
        features = EvaluationOutput.of(images)
        reference = self.tokenizer.batch_decode(batch[INPUT_IDS], skip_special_tokens=True)
        generated = self.generate(images)
        return ReportOutput(features.image, features.pooled, generated=generated, reference=reference)

    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """Return features and the loss; reports are generated at test alone."""
        images = self.image_encoder(batch)
        self._counts.append(told_counts(self._findings(images).sigmoid(), batch[LABELS]))
        return EvaluationOutput.of(images), self._loss(batch, images)

    def on_validation_epoch_end(self) -> None:
        """Choose from which probability on a concept is told, where none was given."""
        if self.threshold is None and self._counts:
            counts: Any = self.all_gather(torch.stack(self._counts).sum(0))  # of every rank
            both, told, true = counts.reshape(-1, 3, len(THRESHOLDS)).sum(0).double()
            best = int((2 * both / (told + true).clamp_min(1)).argmax())
            self.told_from.fill_(THRESHOLDS[best])
        self._counts = []

    def generate(self, images: EncoderOutput) -> list[str]:
        """Write reports.

        Args:
            images: What the image encoder returns.
        """
        from transformers.modeling_outputs import BaseModelOutput

        present = self._findings(images).sigmoid() >= self.told_from
        tokens = self.captioner.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._read(images, present)),
            max_length=self.max_length,
            do_sample=False,
            num_beams=self.beams,
            length_penalty=self.length_penalty,
        )
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def _findings(self, images: EncoderOutput) -> Tensor:
        """Return the logit of each concept, float32 ``(batch, concept)``."""
        assert self.findings is not None, "setup adds it"
        logits: Tensor = self.findings(images.pooled).float()
        return logits

    def _read(self, images: EncoderOutput, present: Tensor) -> Tensor:
        """Return what the decoder attends to: patches, each with all that is present or absent added."""
        assert self.told is not None, "setup adds it"
        said = self.told(present.to(images.local.dtype) * 2 - 1)
        return images.local + said[:, None]

    def _loss(self, batch: Batch, images: EncoderOutput) -> Tensor:
        logits, labels = self._findings(images), batch[LABELS]
        present = torch.where(labels.isnan(), logits.sigmoid() >= self.told_from, labels == 1)
        ids, mask = batch[INPUT_IDS][:, 1:], batch[ATTENTION_MASK][:, 1:]  # the first starts the decoder
        words = ids.masked_fill(mask == 0, _IGNORED)
        loss: Tensor = self.captioner(encoder_outputs=(self._read(images, present),), labels=words).loss
        return loss + masked_cross_entropy(logits, labels)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `TextTask.on_load_checkpoint`."""
        super().on_load_checkpoint(checkpoint)
        if self.tokenizer is not None:
            self.configure_tokens()


def told_counts(chances: Tensor, labels: Tensor) -> Tensor:
    """Return what F1 at each of `THRESHOLDS` is made of: told and true, told, true; int64 ``(3, threshold)``.

    Args:
        chances: Probability of each concept, ``(batch, concept)``.
        labels: 1 present, 0 absent, NaN unknown, which does not count.
    """
    known, true = ~labels.isnan(), labels == 1
    told = (chances[..., None] >= chances.new_tensor(THRESHOLDS)) & known[..., None]
    both = (told & true[..., None]).sum((0, 1))
    return torch.stack([both, told.sum((0, 1)), true.sum().expand_as(both)])
