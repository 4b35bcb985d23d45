from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from callbacks.statistics.intervals import PatientBootstrap, Ranking, auroc, average_precision


def drawn(seed: int, n: int = 60, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random(n) < 0.3).astype(float)
    targets[:2] = 0, 1
    scores = rng.normal(size=n) + targets
    return (scores if levels is None else np.round(scores * levels) / levels), targets


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([None, 1, 3]), weighted=st.booleans())
def test_both_figures_equal_sklearn_with_ties_and_weights(
    seed: int, levels: int | None, weighted: bool
) -> None:
    scores, targets = drawn(seed, levels=levels)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, len(scores)).astype(float) if weighted else np.ones(len(scores))
    weights[:2] = 1  # one of each class stays
    ranking = Ranking(scores, targets)
    assert ranking.auroc(weights[:, None])[0] == pytest.approx(
        roc_auc_score(targets, scores, sample_weight=weights), abs=1e-12
    )
    assert ranking.average_precision(weights[:, None])[0] == pytest.approx(
        average_precision_score(targets, scores, sample_weight=weights), abs=1e-12
    )


def test_extremes() -> None:
    targets = np.array([0.0, 0, 1, 1])
    assert (
        auroc(np.array([1.0, 2, 3, 4]), targets) == average_precision(np.array([1.0, 2, 3, 4]), targets) == 1
    )
    assert auroc(np.array([4.0, 3, 2, 1]), targets) == 0
    assert auroc(np.zeros(4), targets) == 0.5 and average_precision(np.zeros(4), targets) == 0.5
    assert np.isnan(auroc(np.arange(4.0), np.ones(4))) and np.isnan(auroc(np.arange(4.0), np.zeros(4)))


def test_unknown_labels_are_left_out() -> None:
    scores, targets = drawn(1)
    unknown = np.r_[targets, np.nan, np.nan]
    assert auroc(np.r_[scores, 9.0, np.nan], unknown) == auroc(scores, targets)
    assert average_precision(np.r_[scores, 9.0, np.nan], unknown) == average_precision(scores, targets)


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        Ranking(np.array([0.1, np.nan]), np.array([1.0, 0.0]))


def test_resamples_take_whole_patients_and_as_many_as_there_are() -> None:
    group = np.array([7, 7, 3, 9, 9, 9])
    weights = np.concatenate(list(PatientBootstrap(group, resamples=450, seed=1).weights()), axis=1)
    assert weights.shape == (6, 450)
    assert (weights[0] == weights[1]).all() and (weights[3] == weights[5]).all()
    assert (weights[[0, 2, 3]].sum(0) == 3).all()
    assert weights[[0, 2, 3]].mean() == pytest.approx(1)
    assert len(np.unique(weights, axis=1).T) > 5


def test_resamples_depend_on_the_seed_alone() -> None:
    def all_of(bootstrap: PatientBootstrap) -> np.ndarray:
        return np.concatenate(list(bootstrap.weights()), axis=1)

    group = np.arange(20)
    assert (all_of(PatientBootstrap(group, 300)) == all_of(PatientBootstrap(group, 300))).all()
    assert (all_of(PatientBootstrap(group, 300)) != all_of(PatientBootstrap(group, 300, seed=1))).any()


def test_bootstrapped_figures_equal_recomputation_on_the_resampled_rows() -> None:
    scores, targets = drawn(5, levels=2)
    group = np.arange(len(scores)) // 2
    ranking = Ranking(scores, targets)
    for block in PatientBootstrap(group, resamples=20).weights():
        fast = ranking.auroc(block), ranking.average_precision(block)
        for j in range(block.shape[1]):
            rows = np.repeat(np.arange(len(scores)), block[:, j].astype(int))
            assert fast[0][j] == pytest.approx(roc_auc_score(targets[rows], scores[rows]))
            assert fast[1][j] == pytest.approx(average_precision_score(targets[rows], scores[rows]))


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(size=400)
    bootstrap = PatientBootstrap(np.arange(400), resamples=4000)
    low, high = bootstrap.interval(bootstrap.mean(values))
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.15 * error)


def test_patients_with_many_images_widen_the_interval() -> None:
    scores, targets = drawn(2, n=100)
    scores, targets = np.tile(scores, 4), np.tile(targets, 4)  # every patient four times over

    def width(group: np.ndarray) -> float:
        low, high = (bootstrap := PatientBootstrap(group)).interval(
            np.concatenate([Ranking(scores, targets).auroc(block) for block in bootstrap.weights()])
        )
        return high - low

    assert width(np.tile(np.arange(100), 4)) > 1.6 * width(np.arange(400))  # twice, but for chance


def test_means_over_rows_and_medians_equal_recomputation_on_the_resampled_samples() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((3, 41)) < 0.3, np.nan, rng.normal(size=(3, 41)))
    values[2, 2:] = np.nan  # often a row of which nothing is drawn
    ranks = rng.integers(1, 9, 41)
    bootstrap = PatientBootstrap(np.arange(41) // 2, resamples=50)
    means, medians = bootstrap.macro_mean(values), bootstrap.median(ranks)
    for j, weights in enumerate(np.concatenate(list(bootstrap.weights()), 1).T.astype(int)):
        drawn_rows = np.repeat(values, weights, axis=1)
        rows = [row[~np.isnan(row)] for row in drawn_rows]
        assert means[j] == pytest.approx(np.mean([row.mean() for row in rows if len(row)]))
        drawn_ranks = np.sort(np.repeat(ranks, weights))
        assert medians[j] == drawn_ranks[(len(drawn_ranks) - 1) // 2]


def test_interval_without_a_single_finite_resample_is_nan() -> None:
    assert np.isnan(PatientBootstrap(np.arange(3)).interval(np.full(10, np.nan))).all()


def test_a_thousand_resamples_of_thirty_concepts_take_seconds() -> None:
    rankings = [Ranking(*drawn(seed, n=1000)) for seed in range(30)]
    start = time.process_time()
    for block in PatientBootstrap(np.arange(1000)).weights():
        for ranking in rankings:
            ranking.auroc(block), ranking.average_precision(block)
    assert time.process_time() - start < 10  # 0.4 s on a quiet core
