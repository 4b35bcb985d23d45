"""Batches made in a thread of the training process: the same ones, while the step runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from datamodules import SyntheticPairs
from datamodules.loading.epoch_loader import EpochLoader
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.samplers import EpochSampler
from synthesis.pairs import PairSynthesizer


class Squares(Dataset[Any]):
    """Gives squares of numbers, tells when a number was asked for, and fails at one if told to."""

    def __init__(self, bad: int | None = None) -> None:
        self.asked = [threading.Event() for _ in range(24)]
        self.threads: set[int] = set()
        self.bad = bad

    def __len__(self) -> int:
        return len(self.asked)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> torch.Tensor:
        numbers = [index for _, index in keys]
        for number in numbers:
            self.asked[number].set()
        self.threads.add(threading.get_ident())
        if self.bad in numbers:
            raise OSError(f"{self.bad} is bad")
        return torch.tensor(numbers) ** 2


def loader(squares: Squares, ahead: bool) -> EpochLoader:
    sampler = EpochSampler(len(squares), 4, seed=1)
    return EpochLoader(squares, batch_size=4, sampler=sampler, collate_fn=lambda made: made, ahead=ahead)


def test_the_same_batches_also_after_a_resume() -> None:
    plain, ahead = loader(Squares(), False), loader(Squares(), True)
    expected = [batch.tolist() for batch in plain]
    iterator = iter(ahead)
    first = [next(iterator).tolist() for _ in range(2)]
    state = ahead.state_dict()
    assert state["position"] == 2, "batches that were made and not handed out do not count"
    iterator.close()
    resumed = loader(Squares(), True)
    resumed.load_state_dict(state)
    assert first + [batch.tolist() for batch in resumed] == expected
    again = [batch.tolist() for batch in ahead]
    assert again == expected


def test_the_next_batch_is_made_while_this_one_is_used() -> None:
    squares = Squares()
    order = [index for _, index in EpochSampler(len(squares), 4, seed=1)]
    for place, _ in enumerate(loader(squares, True), start=1):
        later = order[4 * place : 4 * place + 4]
        assert all(squares.asked[number].wait(timeout=10) for number in later)
    assert threading.get_ident() not in squares.threads and len(squares.threads) == 1


def test_an_error_reaches_the_step() -> None:
    with pytest.raises(OSError, match="7 is bad"):
        list(loader(Squares(bad=7), True))


def test_workers_and_makers_on_the_cpu_are_refused(synthesizer: PairSynthesizer) -> None:
    with pytest.raises(ValueError, match="workers make batches ahead"):
        LoaderOptions(num_workers=2, ahead=True)
    with pytest.raises(ValueError, match="draws on the CPU"):
        SyntheticPairs(synthesizer, 8, loader=LoaderOptions(ahead=True))


class Niceness(Squares):
    """Gives how willing to wait the process is that makes a batch."""

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> torch.Tensor:
        return torch.tensor([os.nice(0)])


def test_workers_let_the_step_go_first() -> None:
    sampler = EpochSampler(24, 8, 0, 24)
    loader = EpochLoader(Niceness(), sampler=sampler, batch_size=8, num_workers=1, collate_fn=lambda b: b)
    assert next(iter(loader)).item() == min(19, os.nice(0) + 10)
