"""The interface of models that answer a conversation: a local one or a served one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

Message: TypeAlias = dict[str, str]
"""A turn: "role" is "system", "user" or "assistant", "content" its text. The form of every chat template."""


@runtime_checkable
class ChatModel(Protocol):
    """Answers conversations.

    An answer depends on the conversation and its seed alone, not on what it is asked together with; how
    exactly that holds is for each model to say.
    """

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        """Return one answer a conversation, in that order.

        Args:
            conversations: Turns that end with one of the user.
            seeds: The seed of each answer, in [0, 2**63), as many as ``conversations``.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything an answer depends on, as a JSON-able dict without secrets, for fingerprints."""
        ...


def until_stop(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first stop, which a token may run past and a server may leave in."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]
