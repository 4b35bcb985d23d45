from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, Occasion, TwinRanking
from callbacks.base.result import with_intervals
from callbacks.evaluations.twin_ranking import TwinComparison

NAMES = ("edema", "mass")
TEST = Occasion("test", NAMES, final=True)


def made(similarity: np.ndarray, concept: np.ndarray) -> Features:
    n, index = len(concept), torch.arange(len(concept))
    rows = [TwinComparison(int(c), s) for c, s in zip(concept, similarity, strict=True)]
    nothing = torch.zeros(n, 1)
    return Features(nothing, nothing, index, None, torch.zeros(n, 2), index, index, measured={"twins": rows})


def test_who_sees_the_finding_is_right_and_who_has_a_favourite_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    concept = rng.integers(-1, 2, n)
    noise = rng.standard_normal((n, 2, 2))
    twins = TwinRanking(resamples=50)
    seeing = twins.evaluate(made(noise + 20 * np.eye(2), concept), TEST)
    assert {seeing.metrics[name] for name in ("accuracy", "t2i_accuracy", "all_four")} == {1.0}
    assert seeing.details["twin_pairs"] == int((concept >= 0).sum())
    # Always the first report, always the first image: half of all choices are right, and never all four.
    for favourite in (np.array([[9.0, 0], [9, 0]]), np.array([[9.0, 9], [0, 0]])):
        found = twins.evaluate(made(np.broadcast_to(favourite, (n, 2, 2)), concept), TEST)
        assert found.metrics["accuracy"] == found.metrics["t2i_accuracy"] == 0.5
        assert found.metrics["all_four"] == 0
    blind = with_intervals(twins.evaluate(made(noise, concept), TEST))
    assert blind.metrics["accuracy"] == pytest.approx(0.5, abs=0.03)
    assert blind.metrics["all_four"] == pytest.approx(1 / 6, abs=0.03)
    low, high = blind.details["intervals"]["accuracy_macro"]
    assert low < blind.metrics["accuracy_macro"] < high
    low, high = blind.details["intervals"]["accuracy"]
    assert low < blind.metrics["accuracy"] < high and high - low < 0.06
    half = noise + 20 * np.eye(2) * (concept == 0)[:, None, None]  # sees edema, not mass
    found = twins.evaluate(made(half, concept), TEST).metrics
    assert found["accuracy/edema"] == 1 and found["accuracy/mass"] == pytest.approx(0.5, abs=0.05)
    assert found["accuracy_macro"] == pytest.approx((1 + found["accuracy/mass"]) / 2)


def test_few_twins_are_named_and_none_is_noted() -> None:
    concept = np.array([0] * 12 + [1] * 3)
    found = TwinRanking(resamples=0).evaluate(made(np.zeros((15, 2, 2)), concept), TEST)
    assert found.metrics["accuracy"] == 0.5  # ties
    assert found.details["left_out"] == {"mass": 3} and "accuracy/mass" not in found.metrics
    nothing = dataclasses.replace(made(np.zeros((1, 2, 2)), np.array([-1])))
    assert "has a twin" in TwinRanking().evaluate(nothing, TEST).details["note"]


def test_the_command_line_tests_twins(evaluate: Callable[..., Any]) -> None:
    summary, directory = evaluate("twins")
    assert 0 <= summary["test/twins/accuracy"] <= 1
    details = summary["details"]["test/twins"]
    assert details.keys() >= {"n", "split_sha256", "intervals", "twin_pairs", "confusion"}
    assert details["n"] == 48 and 20 < details["twin_pairs"] <= 48
    assert {f"test/twins/{key}" for key in details["intervals"]} <= summary.keys()
    for name in ("test_twins.png", "test_twin_pairs.png"):
        assert (directory / "pictures" / name).stat().st_size > 10_000
