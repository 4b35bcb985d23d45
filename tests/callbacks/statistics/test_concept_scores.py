from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from callbacks.statistics.concept_scores import score_concepts
from callbacks.statistics.intervals import PatientBootstrap, percentile_interval
from callbacks.statistics.strata import stratum_rows

NAMES = ("a", "b", "rare", "never", "always", "unknown")


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 6)) < 0.4).astype(float)
    labels[:, 2] = np.arange(200) < 9
    labels[:, 3], labels[:, 4], labels[:, 5] = 0, 1, np.nan
    labels[::7, 1] = np.nan
    return rng.normal(size=(200, 6)) + np.nan_to_num(labels), labels


def test_absent_and_rare_classes_are_named_and_left_out_of_the_mean(data) -> None:
    scores, labels = data
    table = score_concepts(scores, labels, NAMES)
    assert table.left_out == {
        "rare": "9 positive, 191 negative",
        "never": "0 positive, 200 negative",
        "always": "200 positive, 0 negative",
        "unknown": "0 positive, 0 negative",
    }
    known = ~np.isnan(labels[:, 1])
    a = roc_auc_score(labels[:, 0], scores[:, 0])
    b = roc_auc_score(labels[known, 1], scores[known, 1])
    assert table.macro("auroc") == pytest.approx((a + b) / 2)
    ap = (
        average_precision_score(labels[:, 0], scores[:, 0]),
        average_precision_score(labels[known, 1], scores[known, 1]),
    )
    assert table.macro("ap") == pytest.approx(np.mean(ap))
    assert set(table.metrics("PA/")) == {
        f"PA/{m}{tail}" for m in ("auroc", "ap") for tail in ("_macro", "/a", "/b")
    }
    assert table.metrics()["auroc/b"] == pytest.approx(b)


def test_the_least_count_is_a_choice(data) -> None:
    assert "rare" not in score_concepts(*data, NAMES, min_count=9).left_out
    assert (
        "never" in score_concepts(*data, NAMES, min_count=0).left_out
    )  # there is no AUROC without positives


def test_nothing_to_judge_gives_no_figures(data) -> None:
    scores, labels = data
    table = score_concepts(
        scores, np.full_like(labels, np.nan), NAMES, 10, PatientBootstrap(np.arange(200), 20)
    )
    assert table.metrics() == {} and table.draws() == {}
    assert table.counts()["labelled"] == 0


def test_intervals_hold_the_figures_and_the_mean_is_narrower_than_its_parts(data) -> None:
    table = score_concepts(*data, NAMES, 10, PatientBootstrap(np.arange(200), 300))
    figures, draws = table.metrics(), table.draws()
    assert figures.keys() == draws.keys()
    intervals = {name: percentile_interval(drawn) for name, drawn in draws.items()}
    assert all(low < figures[name] < high for name, (low, high) in intervals.items())
    width = {name: high - low for name, (low, high) in intervals.items()}
    assert width["auroc_macro"] < min(width["auroc/a"], width["auroc/b"])


def test_the_mean_over_some_concepts(data) -> None:
    table = score_concepts(*data, NAMES, 10, PatientBootstrap(np.arange(200), 30))
    assert table.macro("auroc", ["a", "never"]) == table.metrics()["auroc/a"]
    assert (table.macro_resampled("auroc", ["a"]) == table.resampled["auroc"][:, 0]).all()
    assert np.isnan(table.macro("auroc", ["never"]))


def test_resamples_without_a_bootstrap_are_refused(data) -> None:
    with pytest.raises(ValueError, match="without a bootstrap"):
        score_concepts(*data, NAMES).macro_resampled("auroc")


def test_strata_are_views_or_samples_with_a_concept(data) -> None:
    labels = data[1]
    view = np.arange(200) % 3 - 1
    assert (stratum_rows("PA", labels, view, NAMES) == (view == 0)).all()
    assert (stratum_rows("AP", labels, view, NAMES) == (view == 1)).all()
    assert stratum_rows("b", labels, view, NAMES).sum() == np.nansum(labels[:, 1])
    with pytest.raises(ValueError, match="'lateral' is neither a view"):
        stratum_rows("lateral", labels, view, NAMES)


def test_strata_may_be_joined(data) -> None:
    labels, view = data[1], np.arange(200) % 3 - 1
    assert (stratum_rows("a+PA", labels, view, NAMES) == ((labels[:, 0] == 1) & (view == 0))).all()
    with pytest.raises(ValueError, match=r"stratum 'a\+lateral': 'lateral' is neither"):
        stratum_rows("a+lateral", labels, view, NAMES)


def test_concepts_with_the_same_labels_count_once(data) -> None:
    scores, labels = data
    labels[:, 3] = labels[:, 0]  # "never" is now what "a" is
    table = score_concepts(scores, labels, NAMES, 10, PatientBootstrap(np.arange(200), 30))
    assert table.same is not None and table.same[0] == table.same[3] != table.same[1]
    assert table.distinct() == [["a", "never"], ["b"]]
    assert table.distinct(["b", "never"]) == [["b"], ["never"]]
    a, b, never = (table.metrics()[f"auroc/{name}"] for name in ("a", "b", "never"))
    assert table.macro("auroc") == pytest.approx((a + b + never) / 3)
    assert table.macro("auroc", once=True) == pytest.approx(((a + never) / 2 + b) / 2)
    assert table.macro("auroc", ["never", "b"], once=True) == pytest.approx((never + b) / 2)
    drawn = table.resampled["auroc"]
    expected = (drawn[:, [0, 3]].mean(1) + drawn[:, 1]) / 2
    assert np.allclose(table.macro_resampled("auroc", once=True), expected)
    labels[5, 3] = np.nan  # known of one and not of the other: two questions
    assert len(score_concepts(scores, labels, NAMES).distinct()) == 3


def classes() -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of three classes among six concepts; 30 samples, the last two without a label."""
    rng = np.random.default_rng(1)
    labels = np.full((30, 6), np.nan)
    labels[:28, [0, 2, 5]] = np.eye(3)[rng.integers(0, 3, 28)]
    return rng.normal(size=(30, 6)) + np.nan_to_num(labels), labels


def test_samples_of_one_class_each_have_an_accuracy() -> None:
    scores, labels = classes()
    scores[:, 1] = 9  # of no class: nothing is known of it, however high its score
    own = [0, 2, 5]
    hits = [scores[i, own].argmax() == labels[i, own].argmax() for i in range(28)]
    table = score_concepts(scores, labels, NAMES, 1, PatientBootstrap(np.arange(30) // 2, 200))
    assert 0.3 < np.mean(hits) < 0.9
    assert table.metrics("AP/")["AP/accuracy"] == pytest.approx(np.mean(hits))
    low, high = percentile_interval(table.draws()["accuracy"])
    assert low < np.mean(hits) < high


@pytest.mark.parametrize("labels", [[1, 1, 0], [0, 0, 0], [1, np.nan, 0]])
def test_one_sample_that_has_not_one_class_leaves_no_accuracy(labels: list[float]) -> None:
    scores, known = classes()
    known[3, [0, 2, 5]] = labels
    assert "accuracy" not in score_concepts(scores, known, NAMES, 1).metrics()


def test_a_single_label_is_no_choice_of_classes() -> None:
    labels = np.full((30, 6), np.nan)
    labels[:, 0] = 1
    assert "accuracy" not in score_concepts(classes()[0], labels, NAMES, 1).metrics()
