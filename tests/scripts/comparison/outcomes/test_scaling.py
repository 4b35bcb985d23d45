"""Scaling curves of errors whose law is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.comparison.definition import Arm, Comparison, Metric, ScaleSettings
from scripts.comparison.draws import Draws
from scripts.comparison.outcomes.results import Results
from scripts.comparison.outcomes.scaling import scalings
from scripts.comparison.outcomes.scaling_curve import ScalingCurve
from scripts.comparison.outcomes.scaling_law import ScalingLaw
from scripts.comparison.outcomes.scaling_tables import law_rows, scaling_rows
from scripts.comparison.record import RunRecord

KEY = "test/x/auroc"
SIZES = {"quarter": 250.0, "half": 500.0, "once": 1000.0, "double": 2000.0}
CURVE = ScalingCurve("AUROC", {name: f"{{{name}}}" for name in SIZES}, "hospital", "{once}")
VARIABLES = {name: f"{size:g}" for name, size in SIZES.items()}


def law(size: float) -> float:
    return 3.0 * size**-0.4


def results(
    figure: Callable[[str, int], float | None], seeds: int = 3, drawn: int = 0, higher: bool = True
) -> Results:
    """Arms with the given figures; with draws of as many resamples, which all arms and seeds share."""
    arms = {name: Arm(name) for name in (*SIZES, "hospital")}
    metric = Metric("AUROC", KEY, higher)
    comparison = Comparison(
        "c", "C", arms, "once", (0,), {"full": ScaleSettings()}, (metric,), scaling=(CURVE,)
    )
    noise = np.random.default_rng(7).normal(size=drawn) * 0.01
    runs: dict[str, list[RunRecord]] = {name: [] for name in arms}
    for name in arms:
        for seed in range(seeds):
            if (value := figure(name, seed)) is not None:
                kept = Draws({KEY: value + noise}, {KEY: "ab"}) if drawn else Draws()
                runs[name].append(RunRecord(name, seed, {}, {KEY: (value, None, None)}, kept))
    return Results(comparison, runs, {})


@settings(max_examples=25)
@given(st.floats(-1.5, 0.5), st.floats(0.01, 10))
def test_a_law_is_found_again(slope: float, factor: float) -> None:
    sizes = np.array([100.0, 300.0, 700.0, 5000.0])
    found = ScalingLaw.fit(sizes, factor * sizes**slope)
    assert found.slope == pytest.approx(slope, abs=1e-9) and found.factor == pytest.approx(factor)
    assert found.error(np.array([50.0])) == pytest.approx(factor * 50**slope)
    if slope < -0.01:
        assert found.size(factor * 80**slope) == pytest.approx(80)
    assert ScalingLaw.fit(sizes, np.full(4, 0.5)).size(0.3) == math.inf, "never"


def test_points_without_a_law_are_refused() -> None:
    for sizes, errors in (([1, 2], [1, 2]), ([1, 2, 2], [1, 2, 3]), ([1, 2, 3], [1, 0, 2])):
        with pytest.raises(ValueError, match="a law takes 3 sizes, errors over 0"):
            ScalingLaw.fit(sizes, errors)


@pytest.mark.parametrize("higher", [True, False])
def test_the_curve_of_a_comparison_has_the_law_of_its_errors(higher: bool) -> None:
    def figure(name: str, seed: int) -> float:
        error = law(1500.0) if name == "hospital" else law(SIZES[name])
        return (1 - error if higher else error) + 0.002 * (seed - 1)

    (found,) = scalings(results(figure, drawn=200, higher=higher), VARIABLES)
    assert [point.size for point in found.points] == sorted(SIZES.values())
    assert found.points[0].error == pytest.approx(law(250.0))
    assert found.law is not None and found.law.slope == pytest.approx(-0.4, abs=1e-6)
    assert found.slope_interval is not None
    low, high = found.slope_interval
    assert low < -0.4 < high and high - low < 0.2
    times, bounds = found.times() or (0, None)
    assert times == pytest.approx(1.5) and bounds is not None and bounds[0] < 1.5 < bounds[1]
    (row,) = law_rows([found])
    assert row["explained"] == "1.000" and row["to reach"] == "hospital"
    assert str(row["takes"]).startswith("× 1.5 [") and "slope -0.400 [" in str(row["law"])


@pytest.mark.slow
def test_intervals_hold_the_law_as_often_as_they_say() -> None:
    """Seeds and patients differ; 95 % of the intervals of many comparisons hold the true slope."""
    held, rng = [], np.random.default_rng(0)
    for _ in range(200):
        patients = rng.normal() * 0.01

        def figure(name: str, seed: int, patients: float = patients) -> float:
            return 1 - law(SIZES.get(name, 1e3)) + patients + rng.normal() * 0.01

        (found,) = scalings(results(figure, 4, 100), VARIABLES)
        low, high = found.slope_interval or (0, 0)
        held.append(low <= -0.4 <= high)
    assert 0.88 <= np.mean(held) <= 0.99


def test_what_is_drawn_again_is_seeds_and_patients_as_far_as_they_are_known() -> None:
    def figure(name: str, seed: int) -> float:
        return 1 - law(SIZES.get(name, 1e3)) + 0.01 * (seed - 1)

    (alone,) = scalings(results(figure, seeds=1), VARIABLES)
    assert alone.law is not None and not alone.drawn and "[" not in alone.told
    widths = {}
    for seeds, drawn in ((1, 200), (3, 0), (3, 200)):
        (found,) = scalings(results(figure, seeds, drawn), VARIABLES)
        low, high = found.points[0].interval or (0, 0)
        widths[seeds, drawn] = high - low
        if not drawn:
            assert found.points[0].draws.std() == pytest.approx(0.01 / math.sqrt(3), rel=0.06)
    assert widths[1, 200] == pytest.approx(2 * 1.96 * 0.01, rel=0.15)
    assert widths[3, 200] > max(widths[1, 200], widths[3, 0])


def test_fewer_than_three_points_are_said_in_words() -> None:
    def figure(name: str, seed: int) -> float | None:
        return 0.6 if name in ("once", "half") else None

    (found,) = scalings(results(figure), VARIABLES)
    assert found.law is None and found.times() is None
    assert found.told == "2 of 4 sizes were run: a power law takes 3"
    rows = {str(row["arm"]): row for row in scaling_rows([found])}
    assert rows["quarter"]["error"] == "not run" and rows["once"]["by the law"] == "—"
    (row,) = law_rows([found])
    assert (row["law"], row["takes"]) == (found.told, "—")


def test_a_size_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match=r"scaling: the size '\{once\}' is 'many'; give a number over 0"):
        scalings(results(lambda *of: 0.5), VARIABLES | {"once": "many"})
