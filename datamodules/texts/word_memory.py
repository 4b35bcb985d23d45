"""The tokens of words that were met before: reports use few words, and a tokenizer takes long over each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

_MOST_WORDS = 1 << 16  # some 10 MB; then it starts afresh


class WordMemory:
    """Encodes texts word by word, asking the tokenizer for each word once.

    BERT's normaliser looks at one character at a time and its splitter cuts at every space, so the tokens of
    a text are those of what stands between its spaces, one after the other.

    Args:
        tokenizer: One that `suits`.
    """

    def __init__(self, tokenizer: BertTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._first, self._last = tokenizer("")["input_ids"]
        self._known: dict[str, list[int]] = {}

    @staticmethod
    def suits(tokenizer: BertTokenizerFast) -> bool:
        """Return whether a tokenizer encodes words one by one, between a first and a last token."""
        from tokenizers import normalizers, pre_tokenizers

        backend: Any = tokenizer.backend_tokenizer
        added = [token.content for token in tokenizer.added_tokens_decoder.values()]
        return (
            isinstance(backend.normalizer, normalizers.BertNormalizer)
            and isinstance(backend.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and not any(" " in content for content in added)
            and tokenizer("")["input_ids"] == [tokenizer.cls_token_id, tokenizer.sep_token_id]
            and (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "right")
        )

    def encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Return the token ids of each text, cut to a length, as the tokenizer itself would."""
        split = [text.split(" ") for text in texts]
        unknown = list({word for words in split for word in words} - self._known.keys())
        if unknown:
            if len(self._known) + len(unknown) > _MOST_WORDS:
                self._known, unknown = {}, list({word for words in split for word in words})
            encoded = self._tokenizer(unknown, add_special_tokens=False)["input_ids"]
            self._known |= zip(unknown, encoded, strict=True)
        known, kept = self._known, max_length - 2
        return [
            [self._first, *[token for word in words for token in known[word]][:kept], self._last]
            for words in split
        ]
