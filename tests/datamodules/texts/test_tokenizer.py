from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamodules.texts.tokenizer import (
    encode,
    load_tokenizer,
    store_tokenizer,
    tokenizer_directory,
    train_tokenizer,
)

ROOT = Path(__file__).resolve().parents[3]
CORPUS = [
    f"FINDINGS: {size} {side} pleural effusion, unchanged since {day} h. IMPRESSION: {side} effusion."
    for size in ("Small", "Moderate", "Large")
    for side in ("left", "right", "bilateral")
    for day in range(1, 25)
]
TRAIN = """
import sys
from datamodules.texts.tokenizer import train_tokenizer
print(sorted(train_tokenizer(sys.stdin.read().splitlines(), 160).get_vocab().items()))
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_tokenizer(tmp_path_factory.mktemp("artifacts"), {"corpus": 1}, lambda: CORPUS, 160)


def test_frequent_words_are_one_piece_and_nothing_is_unknown(stored: Path) -> None:
    tokenizer = load_tokenizer(stored)
    assert tokenizer.tokenize("Left pleural effusion.") == ["left", "pleural", "effusion", "."]
    assert len(tokenizer) <= 160
    for text in CORPUS:
        assert tokenizer.unk_token not in tokenizer.tokenize(text)
    special = [
        tokenizer.pad_token,
        tokenizer.unk_token,
        tokenizer.cls_token,
        tokenizer.sep_token,
        tokenizer.mask_token,
    ]
    assert special == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = tokenizer("Large left effusion.")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "large left effusion."


def test_training_is_reproducible_in_another_process() -> None:
    """The library's trainer is not: hash tables are seeded anew in every process."""
    command = [sys.executable, "-c", TRAIN]
    there = subprocess.run(
        command, input="\n".join(CORPUS), capture_output=True, text=True, check=True, cwd=ROOT
    )
    here = train_tokenizer(reversed(CORPUS), 160).get_vocab()
    assert there.stdout.strip() == str(sorted(here.items()))


def test_it_is_trained_once_and_found_again(stored: Path) -> None:
    def never() -> Iterator[str]:
        raise AssertionError("trained again")

    assert store_tokenizer(stored.parent, {"corpus": 1}, never, 160) == stored
    assert tokenizer_directory(stored.parent, {"corpus": 1}, 160) == stored
    other_text = tokenizer_directory(stored.parent, {"corpus": 2}, 160)
    other_size = tokenizer_directory(stored.parent, {"corpus": 1}, 170)
    assert len({stored, other_text, other_size}) == 3
    assert not list(stored.parent.glob("*.tmp"))


def test_a_half_written_tokenizer_is_not_taken_for_one(tmp_path: Path) -> None:
    def interrupted() -> Iterator[str]:
        yield CORPUS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_tokenizer(tmp_path, {}, interrupted, 160)
    assert not tokenizer_directory(tmp_path, {}, 160).exists()
    assert load_tokenizer(store_tokenizer(tmp_path, {}, lambda: CORPUS, 160))


def test_batches_are_padded_to_their_longest_text_in_steps_of_eight(stored: Path) -> None:
    tokenizer = load_tokenizer(stored)
    ids, mask = encode(tokenizer, ["Left effusion.", "Small left pleural effusion, unchanged since 3 h."], 64)
    assert ids.shape == mask.shape == (2, 16)
    assert mask.sum(1).tolist() == [5, 12]
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert encode(tokenizer, ["Left effusion."], 64)[0].shape == (1, 8)
    cut, _ = encode(tokenizer, CORPUS[:1] * 2, 16)
    assert cut.shape == (2, 16) and (cut[:, -1] == tokenizer.sep_token_id).all()


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tokenizer='.*nowhere': no such directory"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"tokenizer='.*empty' holds no tokenizer"):
        load_tokenizer(tmp_path / "empty")


def test_a_vocabulary_too_small_for_the_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size=20: the corpus has"):
        train_tokenizer(CORPUS, 20)
