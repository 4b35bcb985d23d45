"""A causal language model in this process."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from synthesis.model_files import open_pretrained
from synthesis.reports.language_model.chat_model import Message, until_stop
from synthesis.reports.language_model.seeded_sampling import SeededSampling
from synthesis.reports.language_model.weights import Weights

_Prompt: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # what conversations begin with, and the rest
_REMEMBERED = 8


class LocalModel:
    """Any causal language model of `transformers` with a chat template, answering in batches.

    Each answer draws from a random stream of its own, so it does not depend on its batch, up to rounding: in
    float32 the logits of another batch differ by about 1e-5, which rarely changes a token.
    Each process loads the weights when it first needs them. On a GPU, make reports in the main process
    (`num_workers: 0` and a cache). Where the chat template has no place for a system turn (Gemma 1 and 2,
    early Mistral), its text stands at the head of the first user turn.

    Args:
        weights: A directory, a GGUF file (needs the extra ``[llm]``), ``package:NAME`` for the GGUF file that
            an installed Python distribution carries, or ``hub:owner/name``, which may be fetched.
        batch_size: Conversations answered at a time.
        max_new_tokens: Longest answer; a longer one is cut off.
        temperature: Of the sampling, ≥ 0; 0 always takes the likeliest token.
        top_p: Only the likeliest tokens that have this share of the probability are drawn, in (0, 1].
        stop: Texts at which an answer ends, e.g. a line break where one line is asked for.
        dtype: Of the weights: "float32", "bfloat16", "float16", or "auto" as stored.
        device: Where it runs; None takes a GPU if there is one.
        device_map: "auto" spreads a large model over all devices (needs ``accelerate``); then ``device`` is
            left alone.
        reuse_prefix: Whether what all conversations of a kind begin with (rules, examples) is read once
            instead of each time. Only recurrent models cannot.

    Raises:
        ValueError: If an argument is out of its range, or the model has no chat template.
        FileNotFoundError: If there are no such weights.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self,
        weights: str | Path,
        batch_size: int = 8,
        max_new_tokens: int = 160,
        temperature: float = 0.7,
        top_p: float = 0.95,
        stop: Sequence[str] = (),
        dtype: str = "float32",
        device: str | None = None,
        device_map: str | None = None,
        reuse_prefix: bool = True,
    ) -> None:
        if batch_size < 1 or max_new_tokens < 1:
            raise ValueError(f"batch_size={batch_size}, max_new_tokens={max_new_tokens}: give 1 or more.")
        if temperature < 0 or not 0 < top_p <= 1:
            raise ValueError(
                f"temperature={temperature}, top_p={top_p}: give a temperature ≥ 0 and a top_p in (0, 1]."
            )
        self.weights = weights
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.stop = list(stop)
        self.dtype = dtype
        self.device = device
        self.device_map = device_map
        self.reuse_prefix = reuse_prefix
        self._identity: dict[str, str] | None = None
        self._loaded: tuple[Any, Any] | None = None
        self._takes_system = True
        self._prefixes: dict[tuple[int, ...], Any] = {}

    def describe(self) -> dict[str, Any]:
        """Return what an answer depends on: weights, length, sampling and precision."""
        if self._identity is None:
            self._identity = Weights.find(self.weights).describe()
        names = ("max_new_tokens", "temperature", "top_p", "stop", "dtype")
        return {"weights": self._identity, **{name: getattr(self, name) for name in names}}

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        """Return one answer a conversation, in that order.

        Args:
            conversations: Turns that end with one of the user.
            seeds: The seed of each answer, as many as ``conversations``.
        """
        if len(seeds) != len(conversations):
            raise ValueError(f"{len(seeds)} seeds for {len(conversations)} conversations; give one each.")
        prompts = [self._encode(conversation) for conversation in conversations]
        # Answered in order of length, so that little is padded.
        order = sorted(range(len(prompts)), key=lambda i: (prompts[i][0], len(prompts[i][1])))
        answers = [""] * len(prompts)
        for prefix, group in groupby(order, key=lambda i: prompts[i][0]):
            members = list(group)
            for start in range(0, len(members), self.batch_size):
                batch = members[start : start + self.batch_size]
                texts = self._answer(prefix, [prompts[i][1] for i in batch], [seeds[i] for i in batch])
                for i, text in zip(batch, texts, strict=True):
                    answers[i] = text
        return answers

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: every process loads its own."""
        return {**self.__dict__, "_loaded": None, "_prefixes": {}}

    def _load(self) -> tuple[Any, Any]:
        """Return the tokenizer and the model."""
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            found = Weights.find(self.weights)
            tokenizer = open_pretrained(AutoTokenizer, found.directory, **found.arguments)
            if tokenizer.chat_template is None:
                raise ValueError(f"{self.weights} has no chat template; take an instruction-tuned model.")
            self._takes_system = _takes_system(tokenizer)
            model = open_pretrained(
                AutoModelForCausalLM,
                found.directory,
                dtype=self.dtype,
                device_map=self.device_map,
                **found.arguments,
            ).eval()
            if self.device_map is None:
                model.to(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._loaded = tokenizer, model
        return self._loaded

    def _encode(self, conversation: Sequence[Message]) -> _Prompt:
        """Return the tokens of a conversation, those before its last turn apart."""
        tokenizer, _ = self._load()
        if not self._takes_system:
            conversation = _without_system(conversation)

        def tokens(turns: Sequence[Message], **options: bool) -> tuple[int, ...]:
            text = tokenizer.apply_chat_template(list(turns), tokenize=False, **options)
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

        whole = tokens(conversation, add_generation_prompt=True)
        before = tokens(conversation[:-1]) if self.reuse_prefix and len(conversation) > 1 else ()
        cut = len(before) if whole[: len(before)] == before else 0  # some templates look at the last turn
        return whole[:cut], whole[cut:]

    @torch.inference_mode()
    def _answer(
        self, prefix: tuple[int, ...], rests: Sequence[tuple[int, ...]], seeds: Sequence[int]
    ) -> list[str]:
        """Answer one batch of prompts that begin alike; what is padded stands between prefix and rest."""
        tokenizer, model = self._load()
        padding = tokenizer.pad_token_id or tokenizer.eos_token_id or 0
        longest = max(map(len, rests))
        rows = [[*prefix, *[padding] * (longest - len(rest)), *rest] for rest in rests]
        ids = torch.tensor(rows, device=model.device)
        mask = torch.ones_like(ids)
        for row, rest in zip(mask, rests, strict=True):
            row[len(prefix) : len(prefix) + longest - len(rest)] = 0
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=self._read(prefix, len(rests)),
            logits_processor=self._sampling(seeds),
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=padding,
            **({"stop_strings": self.stop, "tokenizer": tokenizer} if self.stop else {}),
        )
        texts = tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
        return [until_stop(text, self.stop) for text in texts]

    def _read(self, prefix: tuple[int, ...], rows: int) -> Any:
        """Return keys and values of a prefix for so many rows, read once; None without a prefix."""
        if not prefix:
            return None
        if prefix not in self._prefixes:
            from transformers import DynamicCache

            _, model = self._load()
            ids: Tensor = torch.tensor([prefix], device=model.device)
            cache = DynamicCache(config=model.config)
            model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            while len(self._prefixes) >= _REMEMBERED:
                del self._prefixes[next(iter(self._prefixes))]
            self._prefixes[prefix] = cache
        cache = copy.deepcopy(self._prefixes[prefix])
        cache.batch_repeat_interleave(rows)
        return cache

    def _sampling(self, seeds: Sequence[int]) -> Any:
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

        if self.temperature == 0:
            return LogitsProcessorList()
        cut = [TopPLogitsWarper(self.top_p)] if self.top_p < 1 else []
        return LogitsProcessorList([TemperatureLogitsWarper(self.temperature), *cut, SeededSampling(seeds)])


def _takes_system(tokenizer: Any) -> bool:
    """Return whether a chat template renders a system turn; some raise an error, some leave it out."""
    from jinja2 import TemplateError

    turns = [{"role": "system", "content": "rules"}, {"role": "user", "content": "question"}]
    try:
        return "rules" in tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return False


def _without_system(conversation: Sequence[Message]) -> Sequence[Message]:
    """Return a conversation with the text of its system turn put before that of the first user turn."""
    system, *turns = conversation
    if system["role"] != "system":
        return conversation
    first, *rest = turns
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *rest]
