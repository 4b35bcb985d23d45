"""Temporal comparison: priors that differ in grade alone, what is counted, the task as it is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from callbacks import ChangeAccuracy, Features, Occasion
from callbacks.evaluations.change_accuracy import majority
from datamodules import LoaderOptions, SyntheticPairs
from datamodules.loading.needs import UnmetNeedError
from lightning_modules.downstream.temporal_comparison import change_cross_entropy
from synthesis.pairs import PairSynthesizer
from synthesis.priors import PriorSynthesizer

NEEDS = frozenset({"prior", "change"})


def graded(case: Any, catalog: Any) -> dict[str, int]:
    return {
        f.concept: 1 + list(catalog[f.concept].severities).index(f.severity)
        for f in case.findings
        if len(catalog[f.concept].severities) > 1 and f.severity
    }


def test_a_prior_shows_the_same_patient_with_other_grades(synthesizer: PairSynthesizer) -> None:
    maker, catalog = PriorSynthesizer(synthesizer), synthesizer.catalog
    pairs, priors = synthesizer.make(range(60), 3, "train"), maker.make(range(60), 3, "train")
    again = maker.make([7, 30], 3, "train")
    assert torch.equal(again[0].image, priors[7].image) and again[1].case == priors[30].case
    changes: Counter[int] = Counter()
    for pair, prior in zip(pairs, priors, strict=True):
        now, then = graded(pair.case, catalog), graded(prior.case, catalog)
        assert then.keys() <= now.keys() and pair.case.view == prior.case.view
        assert {f.concept for f in prior.case.findings} >= {
            f.concept for f in pair.case.findings
        } - now.keys()
        changes.update(int(np.sign(level - then.get(name, 0))) for name, level in now.items())
        same = (pair.image.float() - prior.image.float()).abs().mean()
        other = (pair.image.float() - pairs[(pair.index + 1) % 60].image.float()).abs().mean()
        assert 0 < same, "another exposure and noise"
        changes["nearer" if same < other else "farther"] += 1  # type: ignore[index]
    assert changes["nearer"] > 2 * changes["farther"], "the same anatomy"  # type: ignore[index]
    assert min(changes[k] for k in (-1, 0, 1)) > 10


def test_batches_hold_priors_cached_or_not(synthesizer: PairSynthesizer, tmp_path: Path) -> None:
    batches = []
    for cache in (None, tmp_path / "cache"):
        data = SyntheticPairs(
            synthesizer, 8, 4, 4, LoaderOptions(4), tokenizer_reports=200, cache_dir=cache,
            artifacts_dir=tmp_path,
        )  # fmt: skip
        data.asked = {"train": NEEDS, "val": NEEDS}
        data.prepare_data()
        data.setup("fit")
        batches.append([*data.train_dataloader(), *data.val_dataloader()])
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a["prior"], b["prior"]) and a["prior"].shape == a["image"].shape
        assert torch.equal(a["change"].nan_to_num(9), b["change"].nan_to_num(9))
        assert set(a["change"][~a["change"].isnan()].tolist()) <= {0, 1, 2}
        assert (a["labels"][~a["change"].isnan()] == 1).all(), "only findings that are there can be compared"


def test_makers_that_draw_a_patient_once_are_refused(synthesizer: PairSynthesizer) -> None:
    class Once:
        image_size = 64

        def make(self, *_: Any) -> Any: ...
        def describe(self) -> dict[str, Any]:
            return {}

    data = SyntheticPairs(PairSynthesizer(synthesizer.sampler, synthesizer.writer, Once()), 4)
    data.asked = {"train": NEEDS}
    with pytest.raises(UnmetNeedError, match="Once cannot draw a patient at another visit"):
        data.setup("fit")
    with pytest.raises(TypeError, match="Take the simulator"):
        PriorSynthesizer(data.synthesizer)


def test_the_loss_and_the_majority_equal_slow_sums() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, 3, generator=draw)
    change = torch.randint(0, 3, (5, 4), generator=draw).float()
    change[1, 2] = change[0] = torch.nan
    slow = [
        F.cross_entropy(logits[i, c][None], change[i, c][None].long())
        for i in range(5)
        for c in range(4)
        if not change[i, c].isnan()
    ]
    torch.testing.assert_close(change_cross_entropy(logits, change), torch.stack(slow).mean())
    assert change_cross_entropy(logits, torch.full((5, 4), torch.nan)) == 0
    concept, told, fold = np.array([0, 0, 0, 1, 1]), np.array([2, 2, 0, 0, 0]), np.array([0, 1, 2, 0, 0])
    assert majority(concept, told, fold).tolist() == [0, 0, 2, 1, 1]  # a tie takes the lower class


def test_right_answers_are_counted_by_concept_and_class() -> None:
    rows = [[(0, 2, 2), (1, 0, 1)], [(0, 1, 1)], [(0, 0, 2)], []]
    n = len(rows)
    features = Features(
        torch.ones(n, 2), torch.ones(n, 2), torch.arange(n), None, torch.ones(n, 2), torch.arange(n),
        torch.zeros(n), measured={"change": rows},
    )  # fmt: skip
    occasion = Occasion("test", ("edema", "mass"), True)
    result = ChangeAccuracy(min_count=2, resamples=30).evaluate(features, occasion)
    assert result.metrics["accuracy"] == 0.5 and result.metrics["accuracy/edema"] == pytest.approx(2 / 3)
    assert result.metrics["accuracy_macro"] == pytest.approx((0 + 1 + 1) / 3)
    assert result.details["left_out"] == {"mass": 1} and result.details["changes"] == {
        "less": 2, "same": 1, "more": 1,
    }  # fmt: skip
    assert {"accuracy", "gain", "accuracy_macro"} <= result.draws.keys()


def test_the_command_line_compares(train: Callable[..., Any], weights: str) -> None:
    small = ["--data.init_args.loader.batch_size=16", "--trainer.max_epochs=1", "--model.init_args.hidden=8"]
    summary, directory = train("temporal_comparison", weights, *small)
    assert 0 <= summary["val/change/accuracy_macro"] <= 1 and np.isfinite(summary["val/loss"])
    assert (directory / "pictures" / "val_change.png").exists()
