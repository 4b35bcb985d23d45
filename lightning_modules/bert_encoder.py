"""The text tower: BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datamodules.batch import ATTENTION_MASK, INPUT_IDS, Batch
from lightning_modules.adaptation import Adaptation
from lightning_modules.attention import GROUPED, choose_attention, use_attention
from lightning_modules.encoders import EncoderOutput, Pooling, TextEncoder
from lightning_modules.length_groups import LengthGroups
from lightning_modules.pretrained import load_tower, require_tokenizer_of
from synthesis.limits import at_least, below

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class BertEncoder(TextEncoder):
    """BERT of `transformers`, from scratch or from a directory or the hub.

    Sizes default to what two CPU cores train in minutes; 30522, 768, 12, 12, 512 is BERT-base. With
    `pretrained`, sizes must be those of the checkpoint (an error says which they are).

    Args:
        vocab_size: Rows of the word-piece table; at least as many as the tokenizer has.
        width: Width of the tokens.
        layers: Number of transformer blocks.
        heads: Attention heads a block.
        max_length: Rows of the position table: most tokens of a text.
        dropout: Dropout rate of the blocks.
        pretrained: Directory or ``hub:owner/name`` of a BERT model; None trains from scratch.
        pooling: ``mean`` of the tokens that are not padding, or the ``cls`` token.
        projection_dim: Dimension of the shared space.
        projection_hidden: Hidden width of a two-layer projection; None for a linear one.
        gradient_checkpointing: Recompute the blocks in the backward pass: less memory, a third more time.
        adaptation: Which weights are trained; None trains all.

    Raises:
        ValueError: If arguments contradict the checkpoint.
    """

    def __init__(
        self,
        vocab_size: int = 4096,
        width: int = 192,
        layers: int = 4,
        heads: int = 3,
        max_length: int = 256,
        dropout: float = 0.0,
        pretrained: str | None = None,
        pooling: Pooling = "mean",
        projection_dim: int = 128,
        projection_hidden: int | None = None,
        gradient_checkpointing: bool = False,
        adaptation: Adaptation | None = None,
    ) -> None:
        at_least(
            self, 1, vocab_size=vocab_size, width=width, layers=layers, heads=heads, max_length=max_length
        )
        at_least(self, 1, projection_dim=projection_dim)
        below(self, 1, dropout=dropout)
        super().__init__(width, projection_dim, projection_hidden)
        sizes = {
            "vocab_size": ("vocab_size", vocab_size),
            "width": ("hidden_size", width),
            "layers": ("num_hidden_layers", layers),
            "heads": ("num_attention_heads", heads),
            "max_length": ("max_position_embeddings", max_length),
        }
        self.bert = _bert(pretrained, dropout, sizes)
        if gradient_checkpointing:
            self.bert.gradient_checkpointing_enable()
        if adaptation is not None:
            adaptation.apply(self.bert, pretrained)
        self.vocab_size, self.max_length, self.pooling, self.pretrained = (
            vocab_size,
            max_length,
            pooling,
            pretrained,
        )

    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the reports.

        Raises:
            ValueError: If they are longer than the position table.
        """
        ids, mask = batch[INPUT_IDS], batch[ATTENTION_MASK]
        if ids.shape[1] > self.max_length:
            raise ValueError(
                f"BertEncoder: texts have {ids.shape[1]} tokens, the encoder takes {self.max_length}: "
                "raise its max_length or lower the data's"
            )
        tokens = self._tokens(ids, mask)
        if self.pooling == "cls":
            return self.output(tokens[:, 0], tokens, mask.bool())
        weights = mask.to(tokens.dtype)[..., None]
        pooled = (tokens * weights).sum(1) / weights.sum(1).clamp_min(1)
        return self.output(pooled, tokens, mask.bool())

    def _tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        if ids.device.type != "cpu" or torch.compiler.is_compiling():  # a GPU would have to tell the lengths
            choose_attention(self.bert, ids.device)
            return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        groups = LengthGroups.of(mask)
        use_attention(self.bert, GROUPED)
        row = self.bert(input_ids=groups.packed(ids), position_ids=groups.positions, groups=groups)
        return groups.padded(row.last_hidden_state)

    def replace_tower(self, bert: Any) -> None:
        """Take another transformer of the same sizes, without its pooler.

        Args:
            bert: A `transformers` BERT model.
        """
        bert.pooler = None  # never used here, and DDP refuses what has no gradient
        self.bert = bert

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """See `TextEncoder.check_tokenizer`: every id has a row, and pretrained rows mean the same words."""
        if len(tokenizer) > self.vocab_size:
            raise ValueError(
                f"BertEncoder: the tokenizer has {len(tokenizer)} word pieces, the encoder {self.vocab_size} "
                f"rows: set its vocab_size to {len(tokenizer)} or more, or the data's vocab_size lower"
            )
        if self.pretrained is not None:
            require_tokenizer_of(self.pretrained, tokenizer, type(self).__name__)


def _bert(pretrained: str | None, dropout: float, sizes: Mapping[str, tuple[str, int]]) -> Any:
    from transformers import BertConfig, BertModel

    if pretrained is not None:
        return load_tower(pretrained, dropout, sizes)
    config = BertConfig(
        intermediate_size=4 * sizes["width"][1],
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **dict(sizes.values()),
    )
    return BertModel(config, add_pooling_layer=False)
