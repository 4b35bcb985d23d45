from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, LinearProbe, Occasion
from callbacks.base.result import with_intervals
from callbacks.evaluations.linear_probe import chosen_rows
from callbacks.statistics.logistic import out_of_fold
from datamodules.batch import subset_of_patients

TEST = Occasion("test", ("left", "right"), final=True)


def made(n: int = 600, signal: float = 1.2) -> Features:
    g = torch.Generator().manual_seed(0)
    labels = (torch.rand(n, 2, generator=g) < 0.5).float()
    pooled = torch.randn(n, 12, generator=g)
    pooled[:, :2] += signal * labels
    index = torch.arange(n)
    return Features(pooled, pooled, index, None, labels, index // 2, index % 2)


def test_a_small_share_of_patients_is_part_of_a_larger_one() -> None:
    group = np.arange(1000) // 2
    one, ten = subset_of_patients(group, 0.01, 0), subset_of_patients(group, 0.1, 0)
    assert (one.sum(), ten.sum()) == (10, 100) and not (one & ~ten).any()
    assert all(len(set(one[group == patient])) == 1 for patient in range(500))
    assert (subset_of_patients(group, 0.1, 1) != ten).any()
    assert subset_of_patients(np.arange(9), 0.01, 0).sum() == 2
    turned = np.random.default_rng(0).permutation(1000)
    assert (subset_of_patients(group[turned], 0.1, 0) == ten[turned]).all()


def test_only_usable_labels_are_read() -> None:
    features, fold = made(), np.arange(600) // 2 % 5
    choose = partial(chosen_rows, features.group.numpy(), 0.1, 0)
    scores = out_of_fold(features.pooled, features.labels, fold, 1.0, choose=choose).scores
    read = torch.from_numpy(np.any([choose(fold != k) for k in range(5)], axis=0))
    assert 48 <= read.sum() < 200, "each fold takes a tenth of the others, mostly the same patients"
    hidden = torch.where(read[:, None], features.labels, 1 - features.labels)
    assert np.array_equal(out_of_fold(features.pooled, hidden, fold, 1.0, choose=choose).scores, scores)
    assert chosen_rows(np.arange(430), 0.001, 0, np.arange(430) < 300).sum() == 2  # never too few to fit on


def test_more_labels_help_and_seeds_are_told() -> None:
    result = LinearProbe(fractions=[0.02, 0.2], fraction_seeds=4, resamples=40).evaluate(made(), TEST)
    found = result.metrics
    assert 0.5 < found["2%/auroc_macro"] < found["20%/auroc_macro"] < found["auroc_macro"]
    single = result.details["fractions"]["2%"]
    assert len(set(single["auroc_macro"])) == 4 and all(4 <= n <= 6 for n in single["patients_labelled"])
    assert found["2%/auroc_macro"] == pytest.approx(np.mean(single["auroc_macro"]))
    assert {"2%/auroc_macro", "20%/ap_macro"} <= result.draws.keys()
    early = LinearProbe(fractions=[0.02]).evaluate(made(), Occasion("val", ("left", "right"), False))
    assert "2%/auroc_macro" not in early.metrics


def test_classes_have_an_accuracy_at_every_share() -> None:
    features = made()
    classes = replace(features, labels=torch.stack([features.labels[:, 0], 1 - features.labels[:, 0]], 1))
    result = LinearProbe(fractions=[0.02], fraction_seeds=2, resamples=40).evaluate(classes, TEST)
    result = with_intervals(result)
    assert 0.5 < result.metrics["2%/accuracy"] < result.metrics["accuracy"] < 1
    for name in ("accuracy", "2%/accuracy", "PA/accuracy"):
        low, high = result.details["intervals"][name]
        assert low < result.metrics[name] < high


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fractions=\[1.0\]"):
        LinearProbe(fractions=[1.0])


def test_the_command_line_probes_with_few_labels(evaluate: Callable[..., Any]) -> None:
    settings = "{folds: 2, fractions: [0.1], fraction_seeds: 2, min_count: 3, resamples: 20}"
    probe = f"{{class_path: LinearProbe, init_args: {settings}}}"
    callbacks = f"[{{class_path: FeatureCollector}}, {probe}, {{class_path: RunSummary}}]"
    summary, directory = evaluate("linear_probe", f"--trainer.callbacks={callbacks}")
    assert 0 <= summary["test/probe/10%/auroc_macro"] <= 1
    details = summary["details"]["test/probe"]
    assert len(details["fractions"]["10%"]["auroc_macro"]) == 2 and "10%/auroc_macro" in details["intervals"]
    assert (directory / "concepts.png").exists()
    assert (directory / "pictures" / "test_probe_labels.png").stat().st_size > 10_000
