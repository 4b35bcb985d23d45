"""Prompts longer than a text tower reads."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizerFast

from synthesis.prompt_length import PromptLength

WORDS = ["large", "left", "effusion", "no", "pneumothorax", "clear", "lungs"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENIZER = BertTokenizerFast(vocab={piece: i for i, piece in enumerate([*SPECIAL, *WORDS, ".", "##s"])})


def tokens(text: str) -> int:
    return len(TOKENIZER(text)["input_ids"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), max_size=6), st.integers(5, 30))
def test_the_cut_comes_after_the_last_sentence_that_fits(report: list[list[str]], most: int) -> None:
    sentences = [" ".join(words).capitalize() + "." for words in report]
    prompt, length = " ".join(sentences), PromptLength()
    (kept,) = length([prompt], TOKENIZER, most)
    assert tokens(kept) <= most and prompt.startswith(kept)
    fits = tokens(prompt) <= most
    assert (kept == prompt) == fits and (length.read, length.cut) == (1, int(not fits))
    whole = [" ".join(sentences[:n]) for n in range(1, len(sentences) + 1)]
    best = [text for text in whole if tokens(text) <= most]
    if best:
        assert kept == best[-1]
    elif sentences:  # words, as many as fit
        rest = prompt[len(kept) :].split()
        assert kept.split() + rest == prompt.split() and tokens(f"{kept} {rest[0]}") > most


def test_they_are_counted_and_the_first_is_named(caplog: pytest.LogCaptureFixture) -> None:
    length = PromptLength()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            length(["", "Clear lungs.", "Clear lungs. No effusion."], TOKENIZER, 6)
    assert (length.read, length.cut) == (6, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "prompts longer than the 6 tokens that the text tower reads are cut after a sentence, first "
        "'Clear lungs. No effusion.'"
    ]
    endless = "effusion" + "s" * 20
    assert PromptLength()([endless], TOKENIZER, 6) == [endless]  # one word; no prompt becomes the empty one
