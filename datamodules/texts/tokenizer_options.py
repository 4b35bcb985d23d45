"""Which tokenizer reads the reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.texts.tokenizer import load_tokenizer, store_tokenizer, tokenizer_directory
from synthesis.limits import at_least

if TYPE_CHECKING:
    from transformers import BertTokenizerFast


@dataclass(frozen=True)
class TokenizerOptions:
    """Which tokenizer reads the reports: the same options for any data with reports.

    Attributes:
        path: Directory (or ``hub:owner/name``) of a tokenizer; None trains one on the training reports.
        vocab_size: Entries of the trained tokenizer.
    """

    path: str | None = None
    vocab_size: int = 4096

    def __post_init__(self) -> None:
        """Refuse a size that cannot be."""
        at_least(self, 1, vocab_size=self.vocab_size)

    def store(self, directory: Path, recipe: Mapping[str, Any], texts: Callable[[], Iterable[str]]) -> None:
        """Train a tokenizer, if none is given and the same one was not stored before.

        Args:
            directory: Directory of trained tokenizers.
            recipe: What the texts depend on, JSON-able.
            texts: Makes the texts; called only if there is something to train.
        """
        if self.path is None:
            store_tokenizer(directory, recipe, texts, self.vocab_size)

    def load(self, directory: Path, recipe: Mapping[str, Any]) -> BertTokenizerFast:
        """Load the tokenizer that is given, or that `store` has trained."""
        return load_tokenizer(self.path or tokenizer_directory(directory, recipe, self.vocab_size))
