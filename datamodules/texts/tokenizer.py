"""WordPiece tokenizers: trained on a report corpus and stored under what they depend on, or loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from datamodules.texts.word_memory import WordMemory
from synthesis.checksums import write_checksums
from synthesis.files import locked, replaced, write_json
from synthesis.identity import json_sha256
from synthesis.model_files import model_directory, open_pretrained
from synthesis.progress import Progress

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

PADDING_MULTIPLE = 8
"""Lengths are rounded up to a multiple of this: few distinct shapes, and tensor cores like them."""

_FORMAT = 1
_RECIPE = "recipe.json"

log = logging.getLogger(__name__)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> BertTokenizerFast:
    """Train a WordPiece vocabulary (lower-cased, as BERT's).

    The same texts always give the same vocabulary. The library's trainer alone does not: it numbers the
    characters in the order of a hash table, and equal counts are told apart by these numbers, so the
    characters are numbered here.

    Args:
        texts: The corpus.
        vocab_size: Most entries, special tokens and single characters included; a small corpus fills fewer.

    Returns:
        A `transformers.BertTokenizerFast`.

    Raises:
        ValueError: If the characters alone fill the vocabulary.
    """
    from transformers import BertTokenizerFast

    corpus = list(texts)
    untrained = BertTokenizerFast()
    normalize = untrained.backend_tokenizer.normalizer.normalize_str
    characters = sorted(set().union(*(normalize(text) for text in corpus)) - {" "})
    pieces = [*characters, *(f"##{c}" for c in characters if c.isalnum())]
    if len(pieces) + 8 > vocab_size:
        raise ValueError(
            f"vocab_size={vocab_size}: the corpus has {len(characters)} characters; give a few thousand."
        )
    trained = untrained.train_new_from_iterator(
        corpus, vocab_size, new_special_tokens=pieces, show_progress=False, min_frequency=2
    )
    # A fresh tokenizer, to which the characters are ordinary pieces.
    return BertTokenizerFast(vocab=dict(sorted(trained.get_vocab().items(), key=lambda item: item[1])))


def store_tokenizer(
    directory: Path, recipe: Mapping[str, Any], texts: Callable[[], Iterable[str]], vocab_size: int
) -> Path:
    """Train a tokenizer unless the same one was stored before.

    Args:
        directory: Where tokenizers are stored, each under the fingerprint of its recipe.
        recipe: What the texts depend on, JSON-able.
        texts: Makes the corpus; called only if there is something to train.
        vocab_size: See `train_tokenizer`.

    Returns:
        The directory of the tokenizer, there whole or not at all: `load_tokenizer` reads it.
    """
    content = {"format": _FORMAT, "vocab_size": vocab_size, "texts": recipe}
    target = tokenizer_directory(directory, recipe, vocab_size)
    if target.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory):
        if not target.exists():
            log.info("training a tokenizer with %d entries into %s", vocab_size, target)
            with replaced(target) as temporary, Progress("training a tokenizer", None, transient=True):
                train_tokenizer(texts(), vocab_size).save_pretrained(temporary)
                write_json(temporary / _RECIPE, content)
                write_checksums(temporary)
    return target


def tokenizer_directory(directory: Path, recipe: Mapping[str, Any], vocab_size: int) -> Path:
    """Return where `store_tokenizer` puts the tokenizer of a recipe."""
    content = {"format": _FORMAT, "vocab_size": vocab_size, "texts": recipe}
    return directory / f"tokenizer-{json_sha256(content)[:16]}"


def load_tokenizer(name: str | Path) -> BertTokenizerFast:
    """Load a tokenizer from a directory, or from the hub (``hub:owner/name``).

    Raises:
        ValueError: If there is none of that name, or if it cannot pad.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # worker processes are the parallelism here
    from transformers import AutoTokenizer

    directory = model_directory(name, ["tokenizer"], argument="tokenizer")
    try:
        tokenizer = open_pretrained(AutoTokenizer, directory)
    except Exception as error:  # the tokenizers library raises plain ones
        raise ValueError(
            f"tokenizer={str(name)!r} cannot be read ({str(error).strip().splitlines()[0]}); give a "
            "directory that save_pretrained wrote; null trains one."
        ) from error
    if tokenizer.pad_token_id is None:
        raise ValueError(f"tokenizer={str(name)!r} has no padding token; give one of a BERT-like encoder.")
    return tokenizer


def encode(tokenizer: BertTokenizerFast, texts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
    """Encode a batch of texts, padded to the longest of them, rounded up to `PADDING_MULTIPLE`.

    Args:
        tokenizer: Any fast tokenizer.
        texts: The batch.
        max_length: Longer texts are cut; a multiple of `PADDING_MULTIPLE`.

    Returns:
        Token ids and attention mask, int64 ``(batch, tokens)``.
    """
    memory = _memory(tokenizer, len(tokenizer))
    if memory is None:
        encoded = tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=max_length,
            pad_to_multiple_of=PADDING_MULTIPLE,
            return_token_type_ids=False,
        )
        # Not return_tensors: its check of the nesting costs more than encoding does.
        return torch.tensor(encoded["input_ids"]), torch.tensor(encoded["attention_mask"])
    rows = memory.encode(texts, max_length)
    length = -(-max(map(len, rows)) // PADDING_MULTIPLE) * PADDING_MULTIPLE
    ids = np.full((len(rows), length), tokenizer.pad_token_id)
    mask = np.zeros_like(ids)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = row
        mask[k, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


@lru_cache(maxsize=4)
def _memory(tokenizer: BertTokenizerFast, entries: int) -> WordMemory | None:
    """Return what remembers the words of a tokenizer, while it has so many entries; None if it cannot."""
    return WordMemory(tokenizer) if WordMemory.suits(tokenizer) else None
