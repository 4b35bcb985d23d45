from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, Occasion, TwinRanking
from callbacks.base.result import with_intervals
from callbacks.statistics.twin_comparison import TwinComparison
from datamodules.texts.text_view import full_text
from lightning_modules import EvaluationOutput
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.twins import TwinSynthesizer

NAMES = ("edema", "mass")
ALL = ("without", "swap", "side")
TEST = Occasion("test", NAMES, final=True)


def made(similarity: np.ndarray, concept: np.ndarray, kind: str = "without") -> Features:
    n, index = len(concept), torch.arange(len(concept))
    rows = [{kind: TwinComparison(int(c), s)} for c, s in zip(concept, similarity, strict=True)]
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


def test_each_kind_has_figures_of_its_own() -> None:
    concept = np.arange(40) % 2
    result = with_intervals(
        TwinRanking(resamples=20, kinds=ALL).evaluate(
            made(np.eye(2)[None].repeat(40, 0), concept, "swap"), TEST
        )
    )
    assert {name.split("/")[0] for name in result.metrics} == {"swap"} and result.metrics[
        "swap/accuracy"
    ] == 1
    assert result.metrics.keys() == result.draws.keys() and "swap/accuracy/mass" in result.metrics
    assert result.details["swap"]["twin_pairs"] == 40
    assert TwinRanking(kinds=["swap"]).needs == {"swapped_twins"}
    assert TwinRanking(kinds=ALL).needs == {"twins", "swapped_twins", "mirrored_twins"}
    with pytest.raises(ValueError, match=r"not \['mirror'\]"):
        TwinRanking(kinds=["mirror"])


class OneAxis:
    """Knows how abnormal an image is and how abnormal a report, and nothing else."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.images = {pair.image.numpy().tobytes(): len(pair.case.findings) for pair in pairs}
        self.texts = {full_text(pair.report): len(pair.case.findings) for pair in pairs}

    @staticmethod
    def unit(findings: list[int]) -> torch.Tensor:
        angle = torch.tensor(findings, dtype=torch.float64) / 4
        return torch.stack([angle.cos(), angle.sin()], 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        levels = images.mul(255).round().to(torch.uint8)
        return self.unit([self.images[image.numpy().tobytes()] for image in levels])

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return self.unit([self.texts[text] for text in texts])


def test_one_axis_of_abnormality_is_worth_nothing_where_findings_are_swapped(
    synthesizer: PairSynthesizer,
) -> None:
    names, keys = (
        synthesizer.catalog.names,
        {"without": "twins", "swap": "swapped_twins", "side": "mirrored_twins"},
    )
    pairs = synthesizer.make(range(40), 0, "test")
    twins = {key: TwinSynthesizer(synthesizer, kind).make(range(40), 0, "test") for kind, key in keys.items()}

    def side(shown: list[Pair]) -> dict[str, Any]:
        gone = [
            [f for f in p.case.findings if f not in t.case.findings]
            for p, t in zip(pairs, shown, strict=True)
        ]
        return {
            "image": torch.stack([pair.image for pair in shown]).float() / 255,
            "report": [full_text(pair.report) for pair in shown],
            "left_out": torch.tensor([names.index(some[0].concept) if some else -1 for some in gone]),
        }

    batch = side(pairs) | {"index": torch.arange(40)} | {key: side(shown) for key, shown in twins.items()}
    model = OneAxis([*pairs, *(twin for shown in twins.values() for twin in shown)])
    ranking, nothing = TwinRanking(min_count=1, resamples=20, examples=2, kinds=ALL), torch.zeros(40, 1)
    rows = ranking.measure(model, batch, EvaluationOutput(nothing, nothing))
    index = torch.arange(40)
    features = Features(
        nothing,
        nothing,
        index,
        None,
        torch.zeros(40, len(names)),
        index,
        index,
        measured={"twins": list(rows)},
    )
    occasion = Occasion("test", names, final=True)
    result = with_intervals(ranking.evaluate(features, occasion))
    found = result.metrics
    assert found["accuracy"] == found["t2i_accuracy"] == found["all_four"] == 1, "it is all that it takes"
    for kind in ("swap", "side"):
        assert result.details[kind]["twin_pairs"] > 10
        assert (
            found[f"{kind}/accuracy"] == found[f"{kind}/t2i_accuracy"] == 0.5
            and found[f"{kind}/all_four"] == 0
        )
    drawn = ranking.pictures(features, occasion, result)
    assert drawn.keys() == {
        f"{name}{kind}" for name in ("twins", "twin_pairs") for kind in ("", "_swap", "_side")
    }


def test_the_command_line_tests_twins(evaluate: Callable[..., Any]) -> None:
    summary, directory = evaluate("twins")
    assert 0 <= summary["test/twins/accuracy"] <= 1
    details = summary["details"]["test/twins"]
    assert details.keys() >= {"n", "split_sha256", "intervals", "twin_pairs", "confusion"}
    assert details["n"] == 48 and 20 < details["twin_pairs"] <= 48
    assert {f"test/twins/{key}" for key in details["intervals"]} <= summary.keys()
    for kind in ("swap", "side"):
        assert 0 <= summary[f"test/twins/{kind}/accuracy"] <= 1 and details[kind]["twin_pairs"] > 5
    for name in ("test_twins.png", "test_twin_pairs.png", "test_twins_swap.png", "test_twins_side.png"):
        assert (directory / "pictures" / name).stat().st_size > 10_000
