"""Differences of arms against slow, obvious recomputations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.statistics.intervals import PatientBootstrap
from scripts.comparison.draws import Draws
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import Summary, difference, holm

KEY = "test/zero_shot/accuracy"
N, RESAMPLES = 60, 400


def hits(seed: int, shift: float) -> np.ndarray:
    """Whether each of N patients was judged rightly; arms share what makes a patient hard."""
    hard = np.random.default_rng(99).normal(size=N)
    return (hard + np.random.default_rng(seed).normal(size=N) * 0.5 + shift > 0).astype(float)


def run(arm: str, seed: int, values: np.ndarray, sample: str = "ab:0:400", drawn: bool = True) -> RunRecord:
    bootstrap = PatientBootstrap(np.arange(N), RESAMPLES)
    draws = bootstrap.mean(values)
    low, high = bootstrap.interval(draws)
    kept = Draws({KEY: draws}, {KEY: sample}) if drawn else Draws()
    return RunRecord(arm, seed, {}, {KEY: (float(values.mean()), low, high)}, kept)


def test_a_paired_difference_is_that_of_the_same_patients_drawn_again() -> None:
    one, two = ([run(arm, seed, hits(13 * seed + k, shift)) for seed in (0, 1)] for k, arm, shift in ARMS)
    found = difference(one, two, KEY)
    assert found is not None and found.paired
    rng, drawn = np.random.default_rng(5), []
    a = [hits(13 * seed + 1, 0.3) for seed in (0, 1)]
    b = [hits(13 * seed + 2, 0.0) for seed in (0, 1)]
    for _ in range(4000):  # anew: other draws, the same distribution
        patients = rng.integers(0, N, N)
        drawn.append(np.mean([x[patients].mean() - y[patients].mean() for x, y in zip(a, b, strict=True)]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.mean == pytest.approx(np.mean([x.mean() - y.mean() for x, y in zip(a, b, strict=True)]))
    assert found.by_seed[1] == pytest.approx(a[1].mean() - b[1].mean())
    assert (found.low, found.high) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))
    beyond = min(np.mean(np.array(drawn) <= 0), np.mean(np.array(drawn) >= 0))
    assert found.p is not None and found.p == pytest.approx(2 * beyond, abs=0.03)
    assert found.low_seeds is not None and found.low_seeds < found.low and found.high_seeds > found.high


ARMS = ((1, "a", 0.3), (2, "b", 0.0))


def test_pairing_makes_the_interval_narrower_and_is_given_up_where_patients_differ() -> None:
    one, two = [run("a", 0, hits(1, 0.3))], [run("b", 0, hits(2, 0.0))]
    paired = difference(one, two, KEY)
    for others in ([run("b", 0, hits(2, 0.0), "cd:0:400")], [run("b", 0, hits(2, 0.0), drawn=False)]):
        apart = difference(one, others, KEY)
        assert paired and apart and not apart.paired and apart.p is None
        assert apart.mean == paired.mean
        assert None not in (apart.low, apart.high, paired.low, paired.high)
        assert apart.high - apart.low > 1.2 * (paired.high - paired.low)  # type: ignore[operator]
    assert difference(one, [], KEY) is None


def test_seeds_that_only_one_arm_has_are_left_out() -> None:
    one = [run("a", seed, hits(seed, 0.3)) for seed in (0, 1, 2)]
    two = [run("b", 1, hits(5, 0.0))]
    found = difference(one, two, KEY)
    assert found is not None and set(found.by_seed) == {1} and found.low_seeds is None
    assert found.mean == pytest.approx(hits(1, 0.3).mean() - hits(5, 0.0).mean())


def test_the_interval_over_seeds_is_students_where_patients_do_not_matter() -> None:
    same = np.ones(N)

    def constant(arm: str, seed: int, value: float) -> RunRecord:
        kept = Draws({KEY: np.full(RESAMPLES, value)}, {KEY: "x"})
        return RunRecord(arm, seed, {}, {KEY: (value, value, value)}, kept)

    values = (0.70, 0.73, 0.71)
    found = difference(
        [constant("a", s, v) for s, v in enumerate(values)], [constant("b", s, 0.6) for s in range(3)], KEY
    )
    assert found is not None and same.all()
    reach = 4.302653 * np.std(np.array(values), ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
    assert found.high_seeds == pytest.approx(found.mean + reach, rel=1e-5)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_the_step_down_procedure(values: list[float]) -> None:
    corrected = holm(values)
    for level in (0.01, 0.05, 0.2):
        rejected, order = set(), sorted(range(len(values)), key=values.__getitem__)
        for rank, place in enumerate(order):  # Holm 1979: stop at the first that is not rejected
            if values[place] * (len(values) - rank) > level:
                break
            rejected.add(place)
        assert {place for place, p in enumerate(corrected) if p <= level} == rejected


def test_a_summary_as_text() -> None:
    def record(seed: int, *figure: float) -> RunRecord:
        return RunRecord("arm", seed, {}, {KEY: figure})  # type: ignore[dict-item]

    two = Summary.of([record(0, 0.5, 0.4, 0.6), record(1, 0.7, 0.65, 0.75)], KEY)
    assert two is not None and two.text() == "0.600 ± 0.141 [0.400, 0.750]"
    one = Summary.of([record(0, 0.5, 0.4, 0.6)], KEY)
    assert one is not None and one.text() == "0.500 [0.400, 0.600]"
    assert Summary.of([], KEY) is None
