from __future__ import annotations

from collections.abc import Sequence

import torch

from datamodules.made.recent_pairs import RecentPairs
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.reports.grammar import GrammarWriter


def test_pairs_are_made_once_while_they_are_kept_and_stay_the_same() -> None:
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(64))
    made: list[int] = []

    def make(indices: Sequence[int]) -> list[Pair]:
        made.extend(indices)
        return synthesizer.make(indices, seed=0, split="train")

    recent = RecentPairs(make, capacity=4)
    first = recent([3, 1, 2])
    assert [pair.index for pair in recent([2, 7, 3, 2])] == [2, 7, 3, 2]
    assert made == [3, 1, 2, 7]
    recent([8, 9])  # pushes out 3 and 1, the oldest
    assert [pair.index for pair in recent([9, 8, 7, 2])] == [9, 8, 7, 2] and made[4:] == [8, 9]
    again = recent([3])[0]
    assert made[-1] == 3 and torch.equal(again.image, first[0].image) and again.report == first[0].report
    assert all(pair.masks is None for pair in first), "masks would be most of what is kept"
