from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizerFast

from datamodules.texts import tokenizer as tokenizers
from datamodules.texts import word_memory
from datamodules.texts.word_memory import WordMemory

TOKENIZER = tokenizers.train_tokenizer(
    [f"FINDINGS: {size} left effusion, 2.5 cm. é ß 胸 [x]" for size in ("Small", "Large")] * 3, 120
)
WORDS = st.sampled_from(
    [
        "effusion,",
        "[MASK]",
        "[CLS]x",
        "é",
        "e\u0301",
        "\u0301",
        "胸部",
        "\n",
        "a\x1cb",
        "\u00a0",
        "İ",
        "",
        "2.5",
        "\0",
    ]
)
TEXTS = st.lists(
    st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=24).map(" ".join), min_size=1, max_size=4
)


def library(texts: list[str], max_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    encoded = TOKENIZER(
        texts, padding=True, truncation=True, max_length=max_length, pad_to_multiple_of=8, return_tensors="pt"
    )
    return encoded["input_ids"], encoded["attention_mask"]


@given(TEXTS, st.sampled_from([8, 16, 64]))
def test_words_remembered_give_what_the_tokenizer_gives(texts: list[str], max_length: int) -> None:
    for _ in range(2):  # at first sight, and from memory
        found = tokenizers.encode(TOKENIZER, texts, max_length)
        for mine, its in zip(found, library(texts, max_length), strict=True):
            assert mine.dtype == its.dtype and torch.equal(mine, its)


def test_a_word_is_asked_for_once_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_memory, "_MOST_WORDS", 3)
    memory = WordMemory(TOKENIZER)
    asked: list[list[str]] = []

    def ask(words: list[str], **options: bool) -> dict[str, list[list[int]]]:
        asked.append(sorted(words))
        return TOKENIZER(words, **options)  # type: ignore[return-value]

    memory._tokenizer = ask  # type: ignore[assignment]
    memory.encode(["left effusion", "left"], 8)
    memory.encode(["effusion left effusion"], 8)
    assert asked == [["effusion", "left"]]
    assert memory.encode(["small left large"], 8) == [TOKENIZER("small left large")["input_ids"]]
    assert asked[1:] == [["large", "left", "small"]] and len(memory._known) == 3


def test_a_tokenizer_that_reads_across_spaces_is_left_alone(tmp_path: Path) -> None:
    assert WordMemory.suits(TOKENIZER)
    TOKENIZER.save_pretrained(tmp_path)
    joined = BertTokenizerFast.from_pretrained(tmp_path)
    joined.add_tokens(["left effusion"])
    left = BertTokenizerFast.from_pretrained(tmp_path, padding_side="left")
    for other in (joined, left):
        assert not WordMemory.suits(other)
        ids, mask = tokenizers.encode(other, ["small left effusion", "small"], 16)
        expected = other(["small left effusion", "small"], padding=True, pad_to_multiple_of=8)
        assert ids.tolist() == expected["input_ids"] and mask.tolist() == expected["attention_mask"]
