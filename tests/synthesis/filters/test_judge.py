"""The judge with a LLaVA of random weights: every step is real but what the model knows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from synthesis.filters.judge import VisionLanguageJudge, read_questions
from synthesis.pairs import Pair, PairFilter
from synthesis.strict_yaml import YamlError
from tests.made_pairs import kinds

ASK = """
questions:
  first: {{ask: "Is this a chest X-ray?", wanted: "Yes", unwanted: "No", least: {first}}}
  second: {{ask: "Is it blurred?", wanted: "No", unwanted: "Yes", least: {second}}}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA with its processor, as `save_pretrained` leaves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = "<pad> <unk> <image> USER : ASSISTANT Is this a chest X - ray ? it blurred Yes No".split()
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", additional_special_tokens=["<image>"]
    )
    tower: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    vision = CLIPVisionConfig(**tower, num_hidden_layers=2, image_size=32, patch_size=16)
    text = LlamaConfig(**tower, num_hidden_layers=1, num_key_value_heads=2, vocab_size=len(words))
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=2)
    model = LlavaForConditionalGeneration(config)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}USER : {% for c in m.content %}{% if c.type == 'image' %}"
        "<image> {% else %}{{ c.text }} {% endif %}{% endfor %}{% endfor %}ASSISTANT :",
    )
    place = tmp_path_factory.mktemp("llava")
    model.save_pretrained(place)
    processor.save_pretrained(place)
    return place


def judge(
    directory: Path, folder: Path, first: float = 0, second: float = 0, **kwargs: Any
) -> VisionLanguageJudge:
    path = folder / "questions.yaml"
    path.write_text(ASK.format(first=first, second=second))
    return VisionLanguageJudge(directory, path, **kwargs)


def test_answers_are_shares_that_depend_on_the_image_and_not_on_the_batch(
    directory: Path, tmp_path: Path, pairs: list[Pair]
) -> None:
    part = judge(directory, tmp_path, batch_size=5)
    question = part.questions[0]
    shares = part.ask(question, pairs[:12])
    assert all(0 < share < 1 for share in shares) and len({round(s, 6) for s in shares}) > 6
    alone = [part.ask(question, [pair])[0] for pair in pairs[:12]]
    assert shares == pytest.approx(alone, abs=1e-4)
    swapped = judge(directory, tmp_path).questions[1]
    assert swapped.wanted == "No" and part.ask(swapped, pairs[:1]) != shares[:1]


def test_the_first_unwanted_answer_refuses(directory: Path, tmp_path: Path, pairs: list[Pair]) -> None:
    assert isinstance(judge(directory, tmp_path), PairFilter)
    assert judge(directory, tmp_path).reject(pairs[:4]) == [None] * 4
    assert kinds(judge(directory, tmp_path, second=1).reject(pairs[:4])) == ["judge, second"] * 4
    assert kinds(judge(directory, tmp_path, first=1, second=1).reject(pairs[:4])) == ["judge, first"] * 4
    shares = sorted(judge(directory, tmp_path).ask(judge(directory, tmp_path).questions[0], pairs[:12]))
    middle = (shares[5] + shares[6]) / 2
    refused = judge(directory, tmp_path, first=middle).reject(pairs[:12])
    assert sum(reason is not None for reason in refused) == 6


def test_the_answer_compared_is_what_the_model_would_say_first(
    directory: Path, tmp_path: Path, pairs: list[Pair]
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    part = judge(directory, tmp_path)
    processor = AutoProcessor.from_pretrained(directory)
    model = AutoModelForImageTextToText.from_pretrained(directory).eval()
    inputs = processor(
        text="USER : <image> Is this a chest X-ray? ASSISTANT :",
        images=part._picture(pairs[0]),
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = model(**inputs).logits[0, -1]
    yes, no = (processor.tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "No"))
    expected = float(logits[[yes, no]].softmax(0)[0])
    assert part.ask(part.questions[0], pairs[:1]) == [pytest.approx(expected, abs=1e-5)]


@pytest.mark.parametrize("written", [True, False], ids=["by the template", "by the tokenizer"])
def test_a_prompt_begins_once(directory: Path, tmp_path: Path, pairs: list[Pair], written: bool) -> None:
    """As with LLaVA on Llama: the tokenizer begins a text with a token that the template may write too."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoProcessor, AutoTokenizer

    place = tmp_path / "begun"
    shutil.copytree(directory, place)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_special_tokens({"bos_token": "<unk>"})  # a word that the model has
    begin = TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 1)])
    tokenizer.backend_tokenizer.post_processor = begin
    processor = AutoProcessor.from_pretrained(directory)
    processor.tokenizer = tokenizer
    processor.chat_template = ("{{ bos_token }}" if written else "") + processor.chat_template
    processor.save_pretrained(place)
    part = judge(place, tmp_path)
    model, _ = part._loaded
    asked: list[list[int]] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: asked.extend(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    part.ask(part.questions[0], pairs[:2])
    assert len(asked) == 2
    for ids in asked:
        assert ids[0] == tokenizer.bos_token_id and tokenizer.bos_token_id not in ids[1:]


def test_the_questions_shipped_are_well_formed_and_mistakes_are_named(
    directory: Path, tmp_path: Path
) -> None:
    assert len(VisionLanguageJudge(directory).questions) == 6
    for text, message in (
        ("questions: {}", "asks nothing"),
        ("questions: {a: {ask: x, wanted: 'Yes'}}", "question a, key unwanted: missing"),
        ("questions: {a: {ask: x, wanted: 'Yes', unwanted: 'No', least: 2}}", "key least: 2"),
    ):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(YamlError, match=message):
            read_questions(path)
    with pytest.raises(ValueError, match=r"holds no config.json"):
        VisionLanguageJudge(tmp_path)


def test_answers_that_begin_alike_are_refused(directory: Path, tmp_path: Path, pairs: list[Pair]) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text("questions: {a: {ask: 'Is it?', wanted: 'Yes this', unwanted: 'Yes it'}}")
    with pytest.raises(ValueError, match="question a: to this model 'Yes this' and 'Yes it' begin alike"):
        VisionLanguageJudge(directory, path).reject(pairs[:1])


def test_the_fingerprint_holds_weights_and_questions(directory: Path, tmp_path: Path) -> None:
    described = judge(directory, tmp_path).describe()
    assert described != judge(directory, tmp_path, first=0.5).describe()
    assert "model.safetensors" in described["files_sha256"]
