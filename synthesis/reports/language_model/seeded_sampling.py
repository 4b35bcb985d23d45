"""Sampling of tokens in which each row of a batch has random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor


class SeededSampling:
    """A logits processor that draws each row's next token and leaves greedy decoding no other choice.

    ``generate(do_sample=True)`` draws all rows from one global stream, so a text would depend on its batch.
    Here a row draws one number a step from its own stream and takes the token at that quantile.

    Args:
        seeds: One a row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._draws = [Random(seed).random for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores ``(row, token)`` that are 0 for the token drawn and -inf for the others.

        Args:
            input_ids: Not looked at.
            scores: Logits ``(row, token)``, already divided by the temperature and cut to what may be drawn.
        """
        sums = scores.double().softmax(-1).cumsum(-1)
        numbers = torch.tensor([draw() for draw in self._draws], dtype=torch.float64, device=scores.device)
        # The first token whose sum exceeds the number; one of probability 0 adds nothing and is never first.
        drawn = torch.searchsorted(sums, numbers[:, None] * sums[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
