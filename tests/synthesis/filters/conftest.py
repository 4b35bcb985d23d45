"""Pairs that the tests of filters share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from synthesis.corruption import KINDS
from synthesis.pairs import Pair, PairFilter, PairSynthesizer

COUNT = 64


@pytest.fixture(scope="session")
def pairs(synthesizer: PairSynthesizer) -> list[Pair]:
    """Clean simulated pairs, of a split that no threshold was set on."""
    return synthesizer.make(range(COUNT), seed=11, split="filter tests")


@pytest.fixture(scope="session")
def spoilt(pairs: list[Pair]) -> Callable[[str], list[Pair]]:
    """The same pairs with every image spoilt in one way."""

    def spoil(kind: str) -> list[Pair]:
        return [
            replace(pair, image=KINDS[kind](pair.image, None, np.random.default_rng(pair.index))[0])
            for pair in pairs
        ]

    return spoil


@pytest.fixture(scope="session")
def rates(
    pairs: list[Pair], spoilt: Callable[[str], list[Pair]]
) -> Callable[[PairFilter, str], tuple[float, float]]:
    """The share that a filter refuses of images spoilt in one way, and of clean ones."""

    def measure(part: PairFilter, kind: str) -> tuple[float, float]:
        caught, refused = part.reject(spoilt(kind)), part.reject(pairs)
        assert all(reason is None or reason.kind for reason in caught)
        return tuple(sum(r is not None for r in reasons) / COUNT for reasons in (caught, refused))  # type: ignore[return-value]

    return measure
