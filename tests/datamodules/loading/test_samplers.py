from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from datamodules.loading.samplers import ECHO_ROWS, ECHO_SPAN, EpochSampler, OrderedSampler


def indices(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert {e for e, _ in keys} == {epoch}
    return [index for _, index in keys]


@given(size=st.integers(4, 60), data=st.data())
def test_epochs_walk_a_permutation_slice_by_slice(size: int, data: st.DataObject) -> None:
    epoch_size = data.draw(st.integers(1, size))
    sampler = EpochSampler(size, 1, seed=3, epoch_size=epoch_size)
    epochs = size // epoch_size
    for number in range(2):
        walked = [indices(sampler, number * epochs + part) for part in range(epochs)]
        flat = list(itertools.chain(*walked))
        assert all(len(part) == epoch_size for part in walked)
        assert len(set(flat)) == len(flat) and set(flat) <= set(range(size)), "no sample twice in a pass"


@given(size=st.integers(4, 60), epoch=st.integers(0, 9), data=st.data())
def test_an_epoch_within_the_samples_is_a_slice_of_one_permutation(
    size: int, epoch: int, data: st.DataObject
) -> None:
    """Runs are repeated, and resumed, from their seed: this order is for ever."""
    length = data.draw(st.integers(1, size))
    number, part = divmod(epoch, size // length)
    order = np.random.default_rng((5, number)).permutation(size)[part * length : (part + 1) * length]
    assert indices(EpochSampler(size, 1, 5, length), epoch) == order.tolist()


def test_an_epoch_is_a_pure_function_of_seed_and_epoch() -> None:
    one, other = EpochSampler(50, 4, seed=1), EpochSampler(50, 4, seed=1)
    later = indices(one, 7)
    assert indices(one, 0) != later
    assert indices(one, 7) == later == indices(other, 7)
    assert indices(EpochSampler(50, 4, seed=2), 7) != later


@given(
    size=st.integers(8, 80),
    world=st.integers(1, 4),
    batch=st.integers(1, 3),
    epoch=st.integers(0, 5),
    data=st.data(),
)
def test_ranks_share_an_epoch_in_full_batches(
    size: int, world: int, batch: int, epoch: int, data: st.DataObject
) -> None:
    epoch_size = data.draw(st.integers(max(1, world * batch), max(size, world * batch)))
    size = max(size, epoch_size)
    ranks = [EpochSampler(size, batch, 0, epoch_size, rank, world) for rank in range(world)]
    parts = [indices(rank, epoch) for rank in ranks]
    assert {len(part) for part in parts} == {len(ranks[0])}
    assert len(ranks[0]) == epoch_size // (world * batch) * batch
    flat = list(itertools.chain(*parts))
    assert len(set(flat)) == len(flat)


def keys(sampler: EpochSampler, epoch: int) -> list[tuple[int, int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(
    size=st.integers(1, 20),
    world=st.integers(1, 4),
    batch=st.integers(1, 8),
    epoch=st.integers(0, 3),
    extra=st.integers(1, 100),
)
def test_an_epoch_of_more_samples_than_there_are_is_shuffled_pass_after_pass(
    size: int, world: int, batch: int, epoch: int, extra: int
) -> None:
    epoch_size = max(size, world * batch) + extra
    parts = [keys(EpochSampler(size, batch, 3, epoch_size, rank, world), epoch) for rank in range(world)]
    whole = [key for step in zip(*parts, strict=True) for key in step]
    assert whole == keys(EpochSampler(size, world * batch, 3, epoch_size), epoch), "whatever the ranks"
    assert len(whole) == epoch_size // (world * batch) * world * batch
    passes = [whole[i : i + size] for i in range(0, len(whole), size)]
    for one in passes[:-1]:
        assert len({number for number, _ in one}) == 1 and {index for _, index in one} == set(range(size))
    later = keys(EpochSampler(size, world * batch, 3, epoch_size), epoch + 1)
    assert len({*whole, *later}) == 2 * len(whole), "no sample looks the same twice: ranks are disjoint"


def test_passes_differ_in_their_order_and_echo_as_others_do() -> None:
    whole = keys(EpochSampler(30, 30, 3, 90), 0)
    assert len({tuple(index for _, index in whole[i : i + 30]) for i in (0, 30, 60)}) == 3
    echoed = keys(EpochSampler(3, 6, 3, 48, echo=2), 1)
    assert len(set(echoed)) == len(echoed) == 48
    assert {index for _, index in echoed} == {0, 1, 2}


@given(steps=st.integers(1, 60), echo=st.integers(2, 3), epoch=st.integers(0, 3), extra=st.integers(0, 5))
def test_an_echo_shows_each_sample_again_in_the_same_place(
    steps: int, echo: int, epoch: int, extra: int
) -> None:
    """So the rank that made it meets it again, however many there are."""
    size = 6 * echo * steps + extra
    whole = keys(EpochSampler(2 * size, 6, 3, size, echo=echo), epoch)
    place = {key: i for i, key in enumerate(whole)}
    assert len(place) == len(whole) == 6 * echo * steps, "no sample looks the same twice"
    samples = {index for _, index in whole}
    assert len(samples) == 6 * steps
    for index in samples:
        places = [place[echo * epoch + showing, index] for showing in range(echo)]
        assert places == sorted(places) and len({i % 6 for i in places}) == 1
    for world in (2, 3):
        parts = [
            keys(EpochSampler(2 * size, 6 // world, 3, size, rank, world, echo), epoch)
            for rank in range(world)
        ]
        assert [key for step in zip(*parts, strict=True) for key in step] == whole


def test_an_echo_comes_back_to_the_worker_in_other_company() -> None:
    """A loader deals its batches out in turn: a multiple of the span later it is the same worker's turn."""
    whole = keys(EpochSampler(5 * ECHO_SPAN * 8 * 2, 8, 3, echo=2), 1)
    step = {key: i // 8 for i, key in enumerate(whole)}
    assert all((step[3, index] - step[2, index]) % ECHO_SPAN == 0 for _, index in whole)
    steps = [{index for _, index in whole[i : i + 8]} for i in range(0, len(whole), 8)]
    alike = [len(one & other) for one, other in itertools.combinations(steps[: 2 * ECHO_ROWS * ECHO_SPAN], 2)]
    assert max(alike) < 8, "batches are mixed before they come back"


@pytest.mark.parametrize(("world", "batch"), [(1, 12), (2, 6), (3, 4), (4, 3)])
def test_a_step_holds_the_same_samples_on_any_number_of_ranks(world: int, batch: int) -> None:
    whole = indices(EpochSampler(100, 12, seed=0), 2)
    parts = [indices(EpochSampler(100, batch, 0, None, rank, world), 2) for rank in range(world)]
    for step in range(len(whole) // 12):
        together = {index for part in parts for index in part[step * batch : (step + 1) * batch]}
        assert together == set(whole[step * 12 : (step + 1) * 12])


def test_resuming_leaves_out_what_was_seen_in_that_epoch_only() -> None:
    sampler = EpochSampler(40, 4, seed=0)
    whole = {epoch: indices(sampler, epoch) for epoch in (2, 3)}
    sampler.resume(epoch=2, batches=3)
    assert indices(sampler, 2) == whole[2][12:]
    assert indices(sampler, 3) == whole[3]
    assert len(sampler) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 6, "batch_size": 4, "world": 2}, r"less than one step of 2 × 4 .*lower batch_size"),
        ({"size": 3, "batch_size": 1, "world": 8}, "less than one step of 8 × 1"),
        ({"size": 6, "batch_size": 4, "epoch_size": 0}, "epoch of 0 samples"),
    ],
)
def test_epochs_without_a_step_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochSampler(seed=0, **arguments)


@given(size=st.integers(1, 30), world=st.integers(1, 8))
def test_evaluation_sees_everything_and_the_same_number_on_every_rank(size: int, world: int) -> None:
    parts = [[index for _, index in OrderedSampler(size, rank, world)] for rank in range(world)]
    assert {len(part) for part in parts} == {-(-size // world)}, (
        "so no rank waits for ever, nor has nothing to do"
    )
    together = [index for step in zip(*parts, strict=True) for index in step]
    assert together[:size] == list(range(size))
    assert set(together[size:]) <= set(range(size))


def test_lightning_takes_them_for_distributed_samplers() -> None:
    assert isinstance(EpochSampler(4, 2, 0), DistributedSampler)
    assert isinstance(OrderedSampler(4), DistributedSampler)
