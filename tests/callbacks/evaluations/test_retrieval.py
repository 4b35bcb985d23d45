from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from callbacks import Features, Occasion, Retrieval
from callbacks.base.result import with_intervals
from callbacks.evaluations.retrieval import own_ranks

TEST = Occasion("test", (), final=True)
DIRECTIONS = ("i2t", "t2i")


def features(images: torch.Tensor, texts: torch.Tensor | None, reports: list[str] | None = None) -> Features:
    index = torch.arange(len(images))
    unknown = torch.full_like(index, -1)
    return Features(images, images, index, texts, torch.empty(len(images), 0), index, unknown, reports)


def unit(n: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive(queries: np.ndarray, answers: np.ndarray, texts: list[str]) -> tuple[list[int], list[int]]:
    strict, lenient = [], []
    for i, query in enumerate(queries):
        own = query @ answers[i]
        better = [
            j for j in range(len(answers)) if j != i and (query @ answers[j] >= own or texts[j] == texts[i])
        ]
        strict.append(1 + len(better))
        lenient.append(1 + sum(texts[j] != texts[i] for j in better))
    return strict, lenient


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 25), seed=st.integers(0, 10**6), texts=st.integers(1, 25), chunk=st.integers(1, 30))
def test_ranks_equal_a_slow_count_with_ties_and_repeated_texts(
    n: int, seed: int, texts: int, chunk: int
) -> None:
    g = np.random.default_rng(seed)
    queries, answers = g.integers(-1, 2, (n, 3)).astype(float), g.integers(-1, 2, (n, 3)).astype(float)
    reports = [f"report {g.integers(texts)}" for _ in range(n)]
    numbers = torch.tensor([reports.index(text) for text in reports])
    found = own_ranks(torch.tensor(queries), torch.tensor(answers), numbers, chunk)
    assert (found.strict.tolist(), found.lenient.tolist()) == naive(queries, answers, reports)


def test_a_perfect_model_finds_all_and_a_collapsed_one_nothing() -> None:
    images = unit(50)
    perfect = Retrieval().evaluate(features(images, images), TEST).metrics
    collapsed = Retrieval().evaluate(features(images, torch.ones(50, 16) / 4), TEST).metrics
    for direction in DIRECTIONS:
        assert perfect[f"{direction}_hit@1"] == perfect[f"{direction}_median_rank"] == 1
        assert perfect[f"{direction}_lift@10"] == 5
    assert collapsed["i2t_hit@10"] == 0 and collapsed["i2t_median_rank"] == 50  # ties count against it


def test_chance_is_k_among_the_candidates() -> None:
    result = with_intervals(Retrieval(candidates=400).evaluate(features(unit(600), unit(600, 1)), TEST))
    assert result.details["candidates"] == 400
    assert result.details["chance"] == {
        "hit@1": 1 / 400,
        "hit@5": 5 / 400,
        "hit@10": 10 / 400,
        "median_rank": 200.5,
    }
    for direction in DIRECTIONS:
        assert result.metrics[f"{direction}_hit@10"] == pytest.approx(0.025, abs=0.025)
        assert result.metrics[f"{direction}_lift@10"] == pytest.approx(
            result.metrics[f"{direction}_hit@10"] / 0.025
        )
        assert result.metrics[f"{direction}_median_rank"] == pytest.approx(200, abs=40)
        low, high = result.details["intervals"][f"{direction}_median_rank"]
        assert low <= result.metrics[f"{direction}_median_rank"] <= high and 10 < high - low < 80
        low, high = result.details["intervals"][f"{direction}_hit@10"]
        assert low <= result.metrics[f"{direction}_hit@10"] <= high


def test_candidates_are_the_first_by_index() -> None:
    images, texts = unit(60), normalize(unit(60) + 0.8 * unit(60, 1), dim=1)
    whole = Retrieval(candidates=40).evaluate(features(images, texts), TEST).metrics
    assert whole == Retrieval(candidates=40).evaluate(features(images[:40], texts[:40]), TEST).metrics


def test_a_repeated_report_counts_against_the_strict_figure_alone() -> None:
    images = unit(20)
    texts = images.clone()
    texts[1] = texts[0]
    images[1] = images[0]
    reports = ["same", "same", *map(str, range(18))]
    result = Retrieval(at=[1]).evaluate(features(images, texts, reports), TEST)
    for direction in DIRECTIONS:
        assert result.metrics[f"{direction}_hit@1"] == 0.9
        assert result.metrics[f"{direction}_hit@1_same_text"] == 1
    assert result.details["distinct_texts"] == 19


def test_rounding_between_equal_reports_moves_nothing() -> None:
    images, texts = unit(20), normalize(unit(20) + unit(20, 1), dim=1)
    texts[10:] = texts[:10]
    reports = [str(i % 10) for i in range(20)]
    first = Retrieval().evaluate(features(images, texts, reports), TEST).metrics
    texts[10:] += 1e-7
    assert Retrieval().evaluate(features(images, texts, reports), TEST).metrics == first


def test_data_without_reports_is_noted() -> None:
    result = Retrieval().evaluate(features(unit(5), None), TEST)
    assert result.metrics == {} and "image-only" in result.details["note"]


def test_intervals_wait_for_the_last_epoch_and_odd_settings_are_refused() -> None:
    early = Retrieval().evaluate(features(unit(9), unit(9)), Occasion("val", (), final=False))
    assert early.draws == {}
    for wrong in ({"candidates": 0}, {"at": [0]}, {"at": []}):
        with pytest.raises(ValueError, match="at least 1"):
            Retrieval(**wrong)
