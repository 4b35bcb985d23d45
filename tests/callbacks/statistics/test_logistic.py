from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from callbacks.statistics.concept_scores import score_concepts
from callbacks.statistics.intervals import auroc
from callbacks.statistics.logistic import (
    fit_logistic,
    folds_of,
    out_of_fold,
    principal_components,
    standardiser,
)


def drawn(n: int = 150, dim: int = 8, concepts: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)) * rng.uniform(0.1, 5, dim) + rng.normal(size=dim)
    logits = StandardScaler().fit_transform(x) @ rng.normal(size=(dim, concepts)) + [0.0, -1.5, 2]
    labels = (rng.random((n, concepts)) < 1 / (1 + np.exp(-logits))).astype(float)
    return torch.tensor(x), torch.tensor(labels)


@pytest.mark.parametrize("penalty", [0.1, 3.0, 100.0])
def test_the_fit_equals_sklearn_with_unknown_labels_masked(penalty: float) -> None:
    x, labels = drawn()
    x = standardiser(x)(x)
    labels[::4, 1] = torch.nan
    fit = fit_logistic(x, labels, penalty)
    assert fit.gradient < 1e-5
    for c in range(3):
        known = ~labels[:, c].isnan()
        oracle = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(x[known], labels[known, c])
        np.testing.assert_allclose(fit.weight[:, c], oracle.coef_[0], atol=2e-4)
        np.testing.assert_allclose(fit.bias[c], oracle.intercept_[0], atol=2e-4)


def test_the_fit_is_the_same_again_and_under_inference_mode() -> None:
    x, labels = drawn()
    first = fit_logistic(x, labels, 10.0)
    with torch.inference_mode():
        second = fit_logistic(x.clone(), labels.clone(), 10.0)
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_separable_and_one_sided_labels_stay_finite() -> None:
    x, labels = drawn()
    labels[:, 0] = (x[:, 0] > x[:, 0].median()).double()
    labels[:, 1], labels[:, 2] = 0, torch.nan
    fit = fit_logistic(standardiser(x)(x), labels, 1.0)
    assert fit.weight.isfinite().all() and fit.bias.isfinite().all()
    assert fit.weight[0, 0] > 1


def test_standardiser_equals_sklearn_and_silences_constants() -> None:
    x, _ = drawn()
    x[:, 2] = 1e4
    learn, apply = x[:100], x[100:]
    expected = StandardScaler().fit(learn).transform(apply)
    expected[:, 2] = 0
    np.testing.assert_allclose(standardiser(learn)(apply), expected, atol=1e-9)


@pytest.mark.parametrize(("n", "dim"), [(80, 20), (15, 40)])
def test_principal_components_equal_sklearn_up_to_sign(n: int, dim: int) -> None:
    x, _ = drawn(n + 10, dim)
    learn, apply = x[:n], x[n:]
    expected = PCA(5, svd_solver="full").fit(learn.numpy()).transform(apply.numpy())
    np.testing.assert_allclose(principal_components(learn, 5)(apply).abs(), np.abs(expected), atol=1e-8)


def test_there_are_never_more_components_than_the_samples_carry() -> None:
    x, _ = drawn(6, 40)
    assert principal_components(x, 64)(x).shape == (6, 5)
    assert principal_components(drawn(50, 4)[0], 64)(torch.ones(1, 4).double()).shape == (1, 4)


def test_folds_belong_to_patients_whatever_else_is_there() -> None:
    group = np.array([5, 5, 123456789012, 7, 5, 7])
    fold = folds_of(group, 5)
    assert fold[0] == fold[1] == fold[4] and fold[3] == fold[5]
    assert (folds_of(group[::-1], 5)[::-1] == fold).all()
    assert fold[:1] == folds_of(np.array([5]), 5)
    counts = np.bincount(folds_of(np.arange(5000), 5))
    assert len(counts) == 5 and counts.min() > 900


def test_out_of_fold_scores_equal_a_sklearn_pipeline() -> None:
    x, labels = drawn(90, 12)
    fold = folds_of(np.arange(90) // 2, 3)
    found = out_of_fold(x, labels, fold, 5.0, components=4).scores
    for k in range(3):
        rest, held = fold != k, fold == k
        pca = PCA(4, svd_solver="full").fit(x[rest].numpy())
        scale = StandardScaler().fit(pca.transform(x[rest].numpy()))
        for c in range(3):
            features = scale.transform(pca.transform(x[rest].numpy()))
            model = LogisticRegression(C=1 / 5, tol=1e-10, max_iter=10_000).fit(features, labels[rest, c])
            expected = scale.transform(pca.transform(x[held].numpy())) @ model.coef_[0]
            np.testing.assert_allclose(found[held, c], expected, atol=1e-3)


def test_a_patient_is_scored_without_any_look_at_the_patient() -> None:
    x, labels = drawn(60)
    fold = folds_of(np.arange(60), 4)
    before = out_of_fold(x, labels, fold, 1.0, components=5).scores
    row = int(np.flatnonzero(fold == 2)[0])
    x[row] += 100.0
    labels[row] = 1 - labels[row]
    after = out_of_fold(x, labels, fold, 1.0, components=5).scores
    same_fold = (fold == 2) & (np.arange(60) != row)
    np.testing.assert_array_equal(before[same_fold], after[same_fold])  # its fold's model never saw it
    assert (before[fold != 2] != after[fold != 2]).any()  # the others did


def test_chance_features_score_at_one_half_even_for_rare_classes() -> None:
    rng = np.random.default_rng(0)
    figures = []
    for _ in range(60):
        x = torch.tensor(rng.normal(size=(80, 3)))
        labels = torch.tensor((rng.random((80, 2)) < 0.15).astype(float))
        scores = out_of_fold(x, labels, folds_of(rng.integers(0, 2**40, 80), 5), 30.0).scores
        figures += [auroc(scores[:, c], labels[:, c].numpy()) for c in range(2)]
    assert np.nanmean(figures) == pytest.approx(0.5, abs=0.03)  # with the bias in the score it would be 0.37


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="one fold"):
        out_of_fold(*drawn(10), np.zeros(10, int), 1.0)


def test_a_class_is_chosen_with_the_biases_and_samples_are_ranked_without() -> None:
    """Of features that say nothing the best guess is the most frequent class; AUROC stays at chance."""
    rng = np.random.default_rng(0)
    classes = rng.choice(3, 600, p=[0.7, 0.2, 0.1])
    labels = torch.from_numpy(np.eye(3)[classes])
    features = torch.from_numpy(rng.normal(size=(600, 8)))
    found = out_of_fold(features, labels, np.arange(600) % 5, penalty=30.0)
    table = score_concepts(found.scores, labels.numpy(), ["a", "b", "c"], logits=found.logits)
    figures = table.metrics()
    assert figures["accuracy"] == pytest.approx(figures["majority"], abs=0.01)
    assert score_concepts(found.scores, labels.numpy(), ["a", "b", "c"]).metrics()["accuracy"] < 0.5
    assert abs(figures["auroc_macro"] - 0.5) < 0.06
