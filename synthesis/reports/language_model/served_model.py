"""A language model behind an OpenAI-compatible endpoint: vLLM, llama.cpp, `transformers serve`, a service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.utils.data import get_worker_info

from synthesis.limits import at_least, within
from synthesis.reports.language_model.chat_model import Message, until_stop
from synthesis.reports.language_model.rate_limit import RateLimit


class ServedModel:
    """Asks a chat-completions endpoint, many requests at a time, with the official `openai` client.

    Requests that fail in passing (no connection, 408, 409, 429, 5xx) are repeated by the client with growing
    pauses, or as the server's Retry-After says; every repetition waits for its turn in the rate limit too.
    The seed goes with each request; how far a server keeps to it is its own affair, so a corpus made this way
    is as repeatable as the server is.

    The limits hold for all data workers of all ranks (of torchrun, Lightning or SLURM) together: each process
    takes an equal share, whether or not the others ask. Programs started by hand (``--shard``) do not know of
    each other: give each its share.

    The key is read from the environment when it is needed. It is no attribute, and neither logged, pickled,
    nor returned by `describe`.

    Args:
        model: Name of the model at the server.
        base_url: The endpoint, e.g. ``http://localhost:8000/v1``.
        api_key_variable: Environment variable with the key; a server on this machine needs none.
        max_tokens: Longest answer.
        temperature: Of the sampling, ≥ 0.
        top_p: Share of the probability that is drawn from, in (0, 1].
        stop: Texts at which an answer ends.
        concurrency: Requests at a time, ≥ 1; a process makes at least one.
        requests_per_minute: Limit over all requests, repetitions included; None sets none.
        retries: How often a request is repeated, ≥ 0.
        timeout: Seconds that one request may take.

    Raises:
        ValueError: If an argument is out of its range.
        RuntimeError: If a request fails for good, with what the server said.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key_variable: str = "OPENAI_API_KEY",
        max_tokens: int = 320,
        temperature: float = 0.7,
        top_p: float = 0.95,
        stop: Sequence[str] = (),
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        retries: int = 5,
        timeout: float = 120.0,
    ) -> None:
        at_least(self, 1, max_tokens=max_tokens)
        at_least(self, 0, temperature=temperature)
        within(self, 0, 1, top_p=top_p)
        if concurrency < 1 or retries < 0 or timeout <= 0:
            raise ValueError(
                f"concurrency={concurrency}, retries={retries}, timeout={timeout}: give at least 1, 0 and "
                "more than 0 seconds."
            )
        self.model = model
        self.base_url = base_url
        self.api_key_variable = api_key_variable
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.stop = list(stop)
        self.concurrency = concurrency
        self.requests_per_minute = requests_per_minute
        self.retries = retries
        self.timeout = timeout
        self._limit = RateLimit(requests_per_minute)
        self._sharers = 1
        self._client: Any = None
        self._process: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return what an answer depends on: which model, and how it draws; not where it is served."""
        names = ("model", "max_tokens", "temperature", "top_p", "stop")
        return {name: getattr(self, name) for name in names}

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        """Return one answer a conversation, in that order.

        Args:
            conversations: Turns that end with one of the user.
            seeds: The seed of each answer, as many as ``conversations``.
        """
        if len(seeds) != len(conversations):
            raise ValueError(f"{len(seeds)} seeds for {len(conversations)} conversations; give one each.")
        self._connect()
        with ThreadPoolExecutor(max(1, self.concurrency // self._sharers)) as pool:
            asked = [pool.submit(self._ask, *item) for item in zip(conversations, seeds, strict=True)]
            try:
                return [answer.result() for answer in asked]
            except BaseException:
                pool.shutdown(cancel_futures=True)  # what is not yet asked will not be
                raise

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client, and with it the key, behind."""
        return {**self.__dict__, "_client": None, "_limit": None, "_process": None}

    def _connect(self) -> None:
        """Open this process's connections, with its share of the limits; a forked one may use no other's."""
        if self._process == os.getpid():
            return
        from openai import DefaultHttpxClient, OpenAI

        self._process = os.getpid()
        self._sharers = _sharers()
        limit = None if self.requests_per_minute is None else self.requests_per_minute / self._sharers
        self._limit = RateLimit(limit)
        self._client = OpenAI(
            base_url=self.base_url,
            api_key=os.environ.get(self.api_key_variable) or "none",  # the client insists on one
            max_retries=self.retries,
            timeout=self.timeout,
            http_client=DefaultHttpxClient(event_hooks={"request": [lambda request: self._limit.wait()]}),
        )

    def _ask(self, conversation: Sequence[Message], seed: int) -> str:
        from openai import OpenAIError

        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=list(conversation),
                seed=seed % 2**31,  # servers differ in how long a seed they take
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                **({"stop": self.stop} if self.stop else {}),
            )
        except OpenAIError as error:
            raise RuntimeError(
                f"the language model {self.model!r} at {self.base_url} did not answer: {_said(error)}. Check"
                f" that it is served there, and that the environment variable {self.api_key_variable} holds"
                " its key, if it needs one."
            ) from error
        text = answer.choices[0].message.content or "" if answer.choices else ""
        return until_stop(text, self.stop)


def _sharers() -> int:
    """Return how many processes share a limit: the data workers of all ranks."""
    launched = (os.environ[name] for name in ("WORLD_SIZE", "SLURM_NTASKS") if name in os.environ)
    worker = get_worker_info()
    return int(next(launched, 1)) * (worker.num_workers if worker else 1)


def _said(error: Exception) -> str:
    """Return an error of the client with the server's reason, which it quotes from one place only."""
    body = getattr(error, "body", None)
    quoted = body is None or (isinstance(body, dict) and "message" in body)
    return str(error) if quoted else f"{error} - {body}"
