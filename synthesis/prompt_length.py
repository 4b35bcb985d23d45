"""Prompts that are longer than a text tower reads: cut at a sentence, and counted."""

from __future__ import annotations

import bisect
import logging
import re
from collections.abc import Sequence
from typing import Any

from synthesis.reports.sentences import sentence_spans

_WORD = re.compile(r"\S+")
_logger = logging.getLogger(__name__)


class PromptLength:
    """Cuts prompts after the last sentence that a text tower reads whole, and counts them.

    Where not even the first sentence fits, the cut comes after the last word that does. A single word longer
    than all that is read stays, for the tokenizer to cut.

    Attributes:
        read: Prompts seen.
        cut: Those of them that were too long.
    """

    def __init__(self) -> None:
        self.read = self.cut = 0

    def __call__(self, prompts: Sequence[str], tokenizer: Any, most: int) -> list[str]:
        """Return the prompts as they are read, in order.

        Args:
            prompts: Texts; the empty one is no longer than any tower reads.
            tokenizer: One of `transformers`.
            most: Tokens that are read, those at begin and end included.
        """
        self.read += len(prompts)
        whole = [self._fits(prompt, tokenizer, most) for prompt in prompts]
        first = self.cut == 0 and not all(whole)
        self.cut += whole.count(False)
        if first:
            _logger.warning(
                "prompts longer than the %d tokens that the text tower reads are cut after a sentence, first "
                "%r",
                most,
                prompts[whole.index(False)],
            )
        return [
            prompt if fits else _shortened(prompt, lambda text: self._fits(text, tokenizer, most))
            for prompt, fits in zip(prompts, whole, strict=True)
        ]

    @staticmethod
    def _fits(text: str, tokenizer: Any, most: int) -> bool:
        return len(tokenizer(text, verbose=False)["input_ids"]) <= most


def _shortened(text: str, fits: Any) -> str:
    for ends in ([end for _, end in sentence_spans(text)], [word.end() for word in _WORD.finditer(text)]):
        count = bisect.bisect_left(ends, True, key=lambda end: not fits(text[:end]))
        if count:
            return text[: ends[count - 1]]
    return text
