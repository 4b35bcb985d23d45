"""What seeds and patients could have shown, against simulated experiments."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from scripts.comparison.definition import Arm, Comparison, Metric, ScaleSettings
from scripts.comparison.outcomes.power import Power, deviation_between_seeds, needed, power_of
from scripts.comparison.outcomes.results import Results
from scripts.comparison.record import RunRecord
from scripts.comparison.statistics import difference

METRIC = Metric("y", "test/x/y")


def detected(power: Power, difference: float, experiments: int = 20_000) -> float:
    """The share of simulated experiments whose interval over patients and seeds lies above 0."""
    rng, n = np.random.default_rng(0), power.seeds
    patients = rng.normal(size=(experiments, 1)) * power.of_patients
    values = difference + patients + rng.normal(size=(experiments, n)) * power.of_seeds
    of_seeds = values.var(1, ddof=1) / n
    total = of_seeds + power.of_patients**2
    freedom = np.minimum(total**2 / (of_seeds**2 / (n - 1)), 1e6)
    return float((values.mean(1) > t.ppf(0.975, freedom) * np.sqrt(total)).mean())


@pytest.mark.parametrize("power", [Power(3, 0.006, 0.01), Power(3, 0.0, 0.01), Power(5, 6e-3, 0.01)])
def test_four_of_five_experiments_detect_what_is_detectable(power: Power) -> None:
    assert detected(power, power.detectable()) == pytest.approx(0.8, abs=0.04)
    assert detected(power, 0.5 * power.detectable()) < 0.4


def test_more_seeds_detect_less_down_to_what_the_patients_allow() -> None:
    power = Power(3, 0.006, 0.01)
    sizes = [power.detectable(n) for n in (2, 3, 5, 20, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert power.detectable(math.inf) == pytest.approx(0.006 * (1.959964 + 0.841621), rel=1e-5)
    assert sizes[-1] == pytest.approx(power.detectable(math.inf), rel=0.01)
    assert Power(1, 0.006, 0.01).detectable() == math.inf
    seeds = power.seeds_for(-0.02)
    assert power.detectable(seeds) <= 0.02 < power.detectable(seeds - 1)
    assert needed(power, 0.02) == f"{seeds} seeds"
    assert needed(power, 0.012) == "2 × the patients" and needed(power, 0.0) == "nothing"


def results(values: dict[str, list[float]]) -> Results:
    arms = {name: Arm(name) for name in values}
    comparison = Comparison("c", "C", arms, next(iter(arms)), (0,), {"full": ScaleSettings()}, (METRIC,))
    runs = {
        name: [
            RunRecord(name, seed, {}, {METRIC.key: (value, value - 0.02, value + 0.02)})
            for seed, value in enumerate(of)
        ]
        for name, of in values.items()
    }
    return Results(comparison, runs, {})


def test_the_spread_of_seeds_is_the_residual_of_arms_by_seeds() -> None:
    """In a full table; what all arms of a seed share is no part of it."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 4)) + 10 * rng.normal(size=(5, 1)) + 10 * rng.normal(size=(1, 4))
    found = deviation_between_seeds(results({str(k): list(row) for k, row in enumerate(table)}), METRIC)
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    assert found == pytest.approx(math.sqrt(2 * (residual**2).sum() / (4 * 3)))
    assert deviation_between_seeds(results({"a": [0.5], "b": [0.6]}), METRIC) is None


def test_a_difference_brings_its_patients_error(tmp_path: Path) -> None:
    of = results({"a": [0.5, 0.52], "b": [0.6, 0.61], "c": [0.7, 0.75]})
    found = difference(of.runs["b"], of.runs["a"], METRIC.key)
    power = power_of(of, METRIC, found)
    assert power is not None and power.seeds == 2
    assert power.of_patients == pytest.approx(math.hypot(0.02, 0.02) / 1.959964, rel=1e-5)
    assert power_of(of, METRIC, None) is None
    alone = results({"a": [0.5], "b": [0.6]})
    assert power_of(alone, METRIC, difference(alone.runs["b"], alone.runs["a"], METRIC.key)) is None
