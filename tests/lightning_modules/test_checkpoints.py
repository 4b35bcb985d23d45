from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules import DualEncoder
from lightning_modules.checkpoints import restore_tokenizer, tokenizer_to_text

Make = Callable[..., Any]
TEXTS = ["Left effusion, no NODULE.", "large mass large mass", "unheard-of", ""]


@pytest.fixture
def checkpoint(model: Make, data: Make, trainer: Make, tokenizer: Any, tmp_path: Path) -> Path:
    fit = trainer(max_steps=2)
    fit.fit(model(), data(tokenizer=tokenizer))
    fit.save_checkpoint(tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_tokenizer_comes_back_from_text_the_same(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.model_max_length = 12
    before = tokenizer(TEXTS, padding=True, truncation=True)
    text = tokenizer_to_text(tokenizer)
    restored = restore_tokenizer(text, None)
    assert restored is not None
    after = restored(TEXTS, padding=True, truncation=True)
    assert before["input_ids"] == after["input_ids"] and before["attention_mask"] == after["attention_mask"]
    assert (restored.pad_token_id, restored.model_max_length, len(restored)) == (0, 12, len(tokenizer))
    assert tokenizer_to_text(restored) == text
    assert restore_tokenizer(text, tokenizer) is tokenizer
    for name, one in (
        ("own", tokenizer),
        ("restored", restored),
    ):  # through a directory and back is still the same
        one.save_pretrained(tmp_path / name)
        assert restore_tokenizer(text, AutoTokenizer.from_pretrained(tmp_path / name)) is not None
    assert restore_tokenizer(None, None) is None


def test_use_of_a_tokenizer_does_not_change_its_text(tokenizer: Any) -> None:
    before = tokenizer_to_text(tokenizer)
    tokenizer(TEXTS, padding="max_length", truncation=True, max_length=9)
    assert tokenizer_to_text(tokenizer) == before


def test_checkpoint_is_read_without_running_code(checkpoint: Path) -> None:
    stored = torch.load(checkpoint, weights_only=True)
    assert stored["hyper_parameters"]["learning_rate"] == 1e-3
    assert not any(isinstance(value, torch.nn.Module) for value in stored["hyper_parameters"].values())
    assert '"left"' in stored["tokenizer"]


def test_prompts_are_encoded_on_image_only_data_after_testing_from_a_checkpoint(
    checkpoint: Path, model: Make, data: Make, trainer: Make, tokenizer: Any
) -> None:
    dual = model(learning_rate=9.0)
    trainer().test(dual, data(image_only=True), ckpt_path=checkpoint, verbose=False)
    expected = model()
    expected.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    expected.tokenizer = tokenizer
    torch.testing.assert_close(dual.encode_text(TEXTS), expected.encode_text(TEXTS))


def test_checkpoint_loads_outside_a_trainer(checkpoint: Path, model: Make) -> None:
    towers = model()
    loaded = DualEncoder.load_from_checkpoint(
        checkpoint,
        image_encoder=towers.image_encoder,
        text_encoder=towers.text_encoder,
        objective=towers.objective,
        weights_only=True,
    )
    assert loaded.learning_rate == 1e-3 and loaded.betas == (0.9, 0.98)
    assert loaded.encode_text(["left effusion"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": {"width": 64}},
            r"image_encoder\.\S+: \[(\d+, )*32(, \d+)*\] in the checkpoint, \[(\d+, )*64",
        ),
        ({"image": {"layers": 3}}, r"16 stand only in the model as configured, 0 only in the checkpoint"),
        ({"text": {"layers": 1}}, r"text_encoder\.bert\.encoder\.layer\.1\S+: only in the checkpoint"),
        (
            {"text": {"vocab_size": 20}},
            r"word_embeddings\.weight: \[16, 32\] in the checkpoint, \[20, 32\] here",
        ),
        ({"image": {"stem_channels": [4, 8, 16]}}, r"patch_embeddings\.blocks\.0\.weight: only here"),
    ],
)
def test_checkpoint_of_another_architecture_is_refused(
    change: dict[str, Any], message: str, checkpoint: Path, model: Make, data: Make, trainer: Make
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        trainer().test(model(**change), data(), ckpt_path=checkpoint)
    assert "checkpoint of another architecture" in str(caught.value) and "-c <run>/config.yaml" in str(
        caught.value
    )
    assert len(str(caught.value).splitlines()) < 13


def test_another_tokenizer_is_refused_in_training_and_gives_way_to_the_checkpoint_s_elsewhere(
    checkpoint: Path, model: Make, data: Make, trainer: Make, tokenizer: Any
) -> None:
    """So that a model is judged on any data's reports, and never goes on with other words."""
    from transformers import BertTokenizerFast

    vocabulary = tokenizer.get_vocab()
    vocabulary["left"], vocabulary["right"] = vocabulary["right"], vocabulary["left"]

    def other() -> Any:
        return data(tokenizer=BertTokenizerFast(vocab=vocabulary))

    with pytest.raises(ValueError, match="data's tokenizer is not the one this checkpoint was trained with"):
        trainer(max_steps=4).fit(model(), datamodule=other(), ckpt_path=checkpoint)
    with_own, with_other = (
        [batch.text for batch in trainer().predict(model(), datamodule=its, ckpt_path=checkpoint)]
        for its in (data(), other())
    )
    assert all(torch.equal(*pair) for pair in zip(with_own, with_other, strict=True))
