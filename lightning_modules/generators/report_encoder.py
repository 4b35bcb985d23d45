"""The text encoder of a generator: what a report is turned into before an image is made of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_modules.adaptation import merge_additions
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.checkpoints import load_model
from synthesis.limits import at_least
from synthesis.model_files import check_directory, model_directory, open_pretrained
from synthesis.prompt_length import PromptLength
from synthesis.reports.claim_phrases import SEPARATOR

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ReportEncoder(nn.Module):
    """A text transformer that reads prompts exactly as `diffusers.StableDiffusionPipeline` does.

    Prompts are padded to `max_length`; a mask is used only where the text model's configuration asks for one
    (``use_attention_mask``, as the pipeline has it): CLIP's causal attention never looks at padding from a
    word anyway. So what is trained here is what the exported pipeline computes.

    Args:
        vocab_size: Word pieces, at least as many as the tokenizer has; only from scratch.
        width: Width of the tokens; only from scratch.
        layers: Transformer blocks; only from scratch.
        heads: Attention heads a block; only from scratch.
        max_length: Tokens that a prompt is padded to, or cut to after a sentence; a pretrained model's own
            limit if that is less.
        pretrained: Directory or ``hub:owner/name`` of a Stable Diffusion pipeline (its ``text_encoder``
            and ``tokenizer`` are taken) or of a text model with its tokenizer, or checkpoint (``.ckpt``) of a
            dual encoder, whose BERT is taken: it knows from the first step what reports claim. None trains
            CLIP's text model from scratch, with the tokenizer of the data, or for data with labels alone one
            of the concepts' words.
        frozen: Whether the weights stay as they are.

    Attributes:
        tokenizer: Turns prompts into numbers: the pretrained one, or what `take_tokenizer` was given.
        prompt_length: Cuts prompts longer than `max_length`, and counts them.

    Raises:
        ValueError: If `pretrained` is a checkpoint that is not there, or not of a dual encoder with a BERT.
    """

    def __init__(
        self,
        vocab_size: int = 4096,
        width: int = 128,
        layers: int = 2,
        heads: int = 2,
        max_length: int = 64,
        pretrained: str | None = None,
        frozen: bool = False,
    ) -> None:
        at_least(
            self, 1, vocab_size=vocab_size, width=width, layers=layers, heads=heads, max_length=max_length
        )
        super().__init__()
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.prompt_length = PromptLength()
        self.own_tokenizer = pretrained is not None
        if pretrained is None:
            self.model: Any = _clip_text_model(vocab_size, width, layers, heads, max_length)
        else:
            self.model, tokenizer = _pretrained(pretrained)
            max_length = min(max_length, tokenizer.model_max_length, self._positions())
            self.tokenizer = limited(tokenizer, max_length)
        self.max_length = max_length
        if frozen:
            self.requires_grad_(False)

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return int(self.model.config.hidden_size)

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Take the tokenizer that prompts are read with; a pretrained encoder keeps its own.

        Raises:
            ValueError: If it has more word pieces than the table has rows.
        """
        if self.own_tokenizer:
            return
        rows = self.model.config.vocab_size
        if len(tokenizer) > rows:
            raise ValueError(
                f"ReportEncoder: the tokenizer has {len(tokenizer)} word pieces, the encoder {rows} rows: "
                f"set its vocab_size to {len(tokenizer)} or more, or the data's, if it has one, lower"
            )
        self.tokenizer = limited(tokenizer, self.max_length)

    def forward(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts.

        Args:
            prompts: Texts, the empty one included; longer ones are cut after a sentence.

        Returns:
            Tokens ``(batch, max_length, width)``, and their mean over what is not padding
            ``(batch, width)``.

        Raises:
            RuntimeError: If there is no tokenizer.
        """
        if self.tokenizer is None:
            raise RuntimeError(
                "ReportEncoder has no tokenizer: `fit` takes the data's, or makes one where section is "
                "'concepts'; afterwards it comes with the checkpoint: give --ckpt_path, or this encoder "
                "`pretrained`"
            )
        most = self.max_length
        read = self.prompt_length(prompts, self.tokenizer, most)
        encoded = self.tokenizer(read, padding="max_length", truncation=True, max_length=most)
        ids, mask = (
            torch.tensor(encoded[key], device=self.model.device) for key in ("input_ids", "attention_mask")
        )
        masked = getattr(self.model.config, "use_attention_mask", None)
        tokens = self.model(input_ids=ids, attention_mask=mask if masked else None).last_hidden_state
        weights = mask.to(tokens.dtype)[..., None]
        return tokens, (tokens * weights).sum(1) / weights.sum(1).clamp_min(1)

    def save(self, directory: Path) -> None:
        """Write ``text_encoder`` and ``tokenizer``, as `transformers` opens them."""
        self.model.save_pretrained(directory / "text_encoder")
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(directory / "tokenizer")

    def _positions(self) -> int:
        return int(getattr(self.model.config, "max_position_embeddings", 1 << 30))


def limited(tokenizer: PreTrainedTokenizerBase, max_length: int) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer whose `model_max_length`, which pipelines pad to, is `max_length`."""
    copied = copy.deepcopy(tokenizer)
    copied.model_max_length = max_length
    return copied


def word_tokenizer(text: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer with one piece for each word of a text, lower-cased as BERT's.

    Made, not trained: words that stand there once are too rare for a trainer, which would spell them out.

    Args:
        text: Where the words come from; neither their order nor repetitions matter.
    """
    from transformers import BertTokenizerFast

    backend = BertTokenizerFast().backend_tokenizer
    normalize, split = backend.normalizer.normalize_str, backend.pre_tokenizer.pre_tokenize_str
    words = sorted({word for word, _ in split(normalize(text))})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    return BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)})


def phrase_tokenizer(phrases: Sequence[str]) -> PreTrainedTokenizerBase:
    """Return a tokenizer with one piece for each of some phrases, which `SEPARATOR` stands between."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *phrases])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(SEPARATOR, "removed")
    marks = [(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    names = {f"{piece.strip('[]').lower()}_token": piece for piece in special}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _clip_text_model(vocab_size: int, width: int, layers: int, heads: int, max_length: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=max_length,
            projection_dim=width,
            # Those of BERT's vocabulary: [PAD], [CLS], [SEP].
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )


def _pretrained(name: str) -> tuple[Any, Any]:
    model, tokenizer = _text_tower(name) if name.endswith(".ckpt") else _text_model(name)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # never used here, and DDP refuses parameters without gradient
    if model.config.model_type != "clip_text_model":
        model.config.use_attention_mask = True  # attention that is not causal would look at padding
    return model, tokenizer


def _text_model(name: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    directory = model_directory(name, ["weights"])
    whole = not (directory / "model_index.json").is_file()
    model, tokenizer = (directory / ("" if whole else part) for part in ("text_encoder", "tokenizer"))
    check_directory(model)
    check_directory(tokenizer, ["tokenizer"])
    return (
        open_pretrained(AutoModel, model, dtype=torch.float32),
        open_pretrained(AutoTokenizer, tokenizer),
    )


def _text_tower(checkpoint: str) -> tuple[Any, Any]:
    if not Path(checkpoint).is_file():
        raise ValueError(
            f"ReportEncoder: pretrained={checkpoint!r} is no file; train a dual encoder (`make fit`) and "
            "give its checkpoint"
        )
    model = load_model(checkpoint)
    tower, tokenizer = getattr(model, "text_encoder", None), getattr(model, "tokenizer", None)
    if not isinstance(tower, BertEncoder) or tokenizer is None:
        raise ValueError(
            f"ReportEncoder: pretrained={checkpoint!r} holds a {type(model).__name__} without a BERT and its "
            "tokenizer; give the checkpoint of a dual encoder that was trained on pairs"
        )
    merge_additions(tower.bert)
    return tower.bert.requires_grad_(True), tokenizer
