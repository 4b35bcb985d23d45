"""Small language models: one that says what it is told, and one with random weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from synthesis.reports.chat_model import Message

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class Parrot:
    """Says what a prompt of `sentences.yaml` tells, unless it is told to say something else."""

    def __init__(self, change: Callable[[str, int], str] = lambda answer, seed: answer) -> None:
        self.change = change
        self.asked: list[tuple[list[Message], int]] = []

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        self.asked += [(list(c), seed) for c, seed in zip(conversations, seeds, strict=True)]
        return [self.change(told(c[-1]["content"]), s) for c, s in zip(conversations, seeds, strict=True)]

    def describe(self) -> dict[str, str]:
        return {"name": "parrot"}


def told(question: str) -> str:
    """The answer that the examples of `sentences.yaml` show."""
    if match := re.search(r"^Finding: (.*)$", question, re.MULTILINE):
        return f"There is {match[1]}."
    if match := re.search(r"^Absent: (.*)$", question, re.MULTILINE):
        return f"There is no {match[1]}."
    sentences = re.findall(r"There is (?!no )[^.]*[.]", question)
    return " ".join(sentences) or "No acute abnormality."


@pytest.fixture
def parrot() -> type[Parrot]:
    return Parrot


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a Llama of random weights and a tokenizer with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from tokenizers.decoders import ByteLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from synthesis.concepts import ConceptCatalog
    from synthesis.reports.prompts import Prompts

    catalog = ConceptCatalog.load()
    texts = [concept.definition for concept in catalog]
    texts += [
        a for task in Prompts(None, catalog).tasks.values() for example in task.examples for a in example
    ]
    words = Tokenizer(models.BPE(unk_token=None))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = ByteLevel()
    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    words.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    directory = tmp_path_factory.mktemp("language_model")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,  # distributions that depend on the prompt
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    torch.set_rng_state(torch_state)
    return directory
