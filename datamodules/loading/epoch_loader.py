"""A loader that knows how far it is, for checkpoints written in the middle of an epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.loading.samplers import EpochSampler


class EpochLoader(DataLoader[Any]):
    """A DataLoader over an `EpochSampler` that Lightning can resume at the very batch.

    Two facts of Lightning 2.6 shape it. It saves and restores the state of any loader that has ``state_dict``
    and ``load_state_dict``; and on resuming it calls ``iter`` *before* ``set_epoch``, so workers would fetch
    ahead from the wrong epoch: here nothing is fetched before the first batch is asked for.
    """

    position = 0
    """Batches of the current epoch handed out so far, those before a resume included."""

    def __init__(self, *args: Any, ahead: bool = False, **options: Any) -> None:
        """Set up.

        Args:
            *args: As for `torch.utils.data.DataLoader`.
            ahead: See `LoaderOptions`.
            **options: As for `torch.utils.data.DataLoader`.
        """
        super().__init__(*args, **{"worker_init_fn": _give_way} | options)
        self.ahead = ahead

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Iterate over the batches of the epoch that is set when the first one is asked for."""
        sampler = self._epoch_sampler()
        self.position = sampler.skipped // sampler.batch_size if sampler else 0
        batches = super().__iter__()
        for batch in made_ahead(batches) if self.ahead else batches:
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches were handed out."""
        sampler = self._epoch_sampler()
        return {"epoch": sampler.epoch if sampler else 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out, in that epoch only, the batches that were handed out."""
        if sampler := self._epoch_sampler():
            sampler.resume(state["epoch"], state["position"])

    def _epoch_sampler(self) -> EpochSampler | None:
        # overfit_batches puts another sampler in its place.
        return self.sampler if isinstance(self.sampler, EpochSampler) else None


def made_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches in their order, the next one made in a thread while this one is used.

    On a GPU the thread queues its work in a stream of its own, beside the step's.
    """
    end = object()
    with ThreadPoolExecutor(1, initializer=_own_stream) as thread:
        coming = thread.submit(next, batches, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(next, batches, end)
            yield batch


def _give_way(_worker: int) -> None:
    """Let the step go first: its threads wait for one another, and would wait for a batch made ahead."""
    if hasattr(os, "nice"):
        os.nice(10)


def _own_stream() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # what the step's stream has put on the GPU is there
        torch.cuda.set_stream(torch.cuda.Stream())
