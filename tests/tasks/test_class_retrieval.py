from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, one_hot, pad

from callbacks import ClassRetrieval, Features, Occasion

NAMES = ("edema", "mass", "hernia")
TEST = Occasion("test", NAMES, final=True)
TWO = ("edema", "mass")


def made(n: int = 120, signal: float = 0.0, seed: int = 0) -> Features:
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, 3, generator=g) < 0.4).float()
    image, text = (
        normalize(signal * pad(labels[:, :2], (0, 6)) + torch.randn(n, 8, generator=g), dim=1)
        for _ in range(2)
    )
    index = torch.arange(n)
    return Features(image, image, index, text, labels, index // 2, index % 2)


def naive(features: Features, k: int) -> float:
    """Precision@k from images to reports by a double loop."""
    labels = features.labels[:, :2]
    alone = [i for i in range(len(labels)) if labels[i].sum() == 1]
    by_class = [[i for i in alone if labels[i, c]] for c in range(2)]
    size = min(map(len, by_class))
    rows = [i for some in by_class for i in some[:size]]
    assert features.text is not None
    total = 0.0
    for i in rows:
        ranked = sorted(rows, key=lambda j: -float(features.image[i].double() @ features.text[j].double()))
        total += np.mean([bool(labels[j].argmax() == labels[i].argmax()) for j in ranked[:k]])
    return total / len(rows)


def test_precision_equals_a_slow_computation() -> None:
    result = ClassRetrieval(TWO, at=(1, 5, 500), resamples=30).evaluate(made(), TEST)
    assert result.metrics["i2t_p@1"] == pytest.approx(naive(made(), 1))
    assert result.metrics["i2t_p@5"] == pytest.approx(naive(made(), 5))
    assert result.details["left_out"].keys() == {"p@500"} and result.details["chance"] == 0.5
    assert result.draws.keys() == result.metrics.keys()


def test_classes_that_are_told_apart_are_found_and_others_are_at_chance() -> None:
    callback = ClassRetrieval(TWO, resamples=0)
    good = callback.evaluate(made(signal=9), TEST).metrics
    bad = [callback.evaluate(made(seed=s), TEST).metrics["t2i_p@10"] for s in range(9)]
    assert good["i2t_p@10"] > 0.95 and good["t2i_p@10"] > 0.95
    assert np.mean(bad) == pytest.approx(0.5, abs=0.04)


def test_samples_have_one_class_and_classes_are_equally_many() -> None:
    features = made()
    rows, kind = ClassRetrieval(TWO, per_class=9)._chosen(features, NAMES)
    assert torch.equal(features.labels[rows][:, :2], one_hot(torch.from_numpy(kind), 2).float())
    assert np.bincount(kind).tolist() == [9, 9]
    features.labels[rows[0], 1 - kind[0]] = torch.nan  # an unknown label might be a second class
    assert rows[0] not in ClassRetrieval(TWO, per_class=9)._chosen(features, NAMES)[0]


def test_other_concepts_may_be_asked_to_be_absent() -> None:
    features = made()
    features.labels[:3, 2] = torch.nan
    rows, _ = ClassRetrieval(TWO, others=["hernia"])._chosen(features, NAMES)
    assert len(rows) and not (features.labels[rows, 2] == 1).any()
    assert (features.labels[ClassRetrieval(TWO)._chosen(features, NAMES)[0], 2] == 1).any()
    with pytest.raises(ValueError, match=r"\['gout'\] are not in the data"):
        ClassRetrieval(TWO, others=["gout"]).evaluate(features, TEST)


def test_what_cannot_be_judged_is_noted_or_refused() -> None:
    features = made()
    features.labels[:, 1] = 0
    assert "no sample" in ClassRetrieval(TWO).evaluate(features, TEST).details["note"]
    with pytest.raises(ValueError, match=r"\['wrong'\] are not in the data"):
        ClassRetrieval(("edema", "wrong")).evaluate(made(), TEST)
    with pytest.raises(ValueError, match="two or more"):
        ClassRetrieval(("edema",))


def test_the_command_line_retrieves_classes(evaluate: Callable[..., Any]) -> None:
    settings = "init_args: {classes: [pleural_effusion, cardiomegaly], at: [1]}"
    some = f"{{class_path: ClassRetrieval, {settings}}}, {{class_path: RunSummary}}"
    callbacks = f"[{{class_path: FeatureCollector}}, {some}]"
    summary, directory = evaluate("retrieval", f"--trainer.callbacks={callbacks}")
    assert {f"test/class_retrieval/{d}_p@{k}" for d in ("i2t", "t2i") for k in (1,)} <= summary.keys()
    assert summary["details"]["test/class_retrieval"].keys() >= {"n", "split_sha256", "intervals", "chance"}
    assert (directory / "pictures" / "test_class_retrieval.png").exists()
