from __future__ import annotations

import numpy as np
import pytest
import torch

from callbacks import Features, LinearProbe, Occasion
from callbacks.base.result import with_intervals

NAMES = ("left", "right", "rare")
TEST = Occasion("test", NAMES, final=True)


def made(n: int = 240, signal: float = 3.0, seed: int = 0, **extra: torch.Tensor) -> Features:
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, 3, generator=g) < torch.tensor([0.5, 0.3, 0.01])).float()
    pooled = torch.randn(n, 6, generator=g)
    pooled[:, :2] += signal * labels[:, :2]
    labels[::9, 1] = torch.nan
    index = torch.arange(n)
    return Features(pooled, pooled, index, None, labels, index // 2, index % 2, extra=extra)


def probe(**settings) -> LinearProbe:
    return LinearProbe(**({"resamples": 100} | settings))


def test_what_is_there_is_found_and_what_is_not_is_at_chance() -> None:
    good = probe().evaluate(made(signal=4), TEST)
    bad = [probe().evaluate(made(signal=0, seed=seed), TEST).metrics["auroc_macro"] for seed in range(12)]
    assert good.metrics["auroc_macro"] > 0.98 and good.metrics["ap_macro"] > 0.97
    assert np.mean(bad) == pytest.approx(0.5, abs=0.03)
    assert good.details["absent_classes"].keys() == {"rare"}
    assert "auroc/rare" not in good.metrics and good.draws.keys() == good.metrics.keys()
    assert good.details["gradient"] < 1e-5


def test_strata_are_given_with_their_counts() -> None:
    features = made()
    result = probe(strata=["PA", "AP", "left"]).evaluate(features, TEST)
    assert {"PA/auroc_macro", "AP/auroc/right", "left/auroc/right", "left/ap_macro"} <= result.metrics.keys()
    assert "left/auroc/left" not in result.metrics  # all positive there
    inside = (features.labels[:, 0] == 1) & (features.labels[:, 1] == 1)
    assert result.details["strata"]["left"]["positives"]["right"] == int(inside.sum())
    assert result.details["strata"]["PA"]["labelled"] == 120
    only_pa = made()
    only_pa.view[:] = 0
    assert not [name for name in probe().evaluate(only_pa, TEST).metrics if name.startswith("AP/")]


def test_both_views_are_averaged_over_the_same_classes() -> None:
    features = made(n=400)
    ap = features.view == 1
    features.labels[:, 2] = ((torch.arange(400) % 4 == 1) & ap).float()  # in AP alone
    result = probe(subsets={"two": ["left", "right"]}).evaluate(features, TEST)
    found, draws = result.metrics, result.draws
    assert result.details["both_views"] == ["left", "right"] and "auroc/rare" in found
    for prefix in ("", "PA/", "AP/"):
        assert found[f"{prefix}auroc_macro_both_views"] == found[f"{prefix}two/auroc_macro"]
        assert (draws[f"{prefix}ap_macro_both_views"] == draws[f"{prefix}two/ap_macro"]).all()
    assert found["AP/auroc_macro"] != found["AP/auroc_macro_both_views"], "AP alone has the rare one"
    one_view = made()
    one_view.view[:] = 0
    assert "auroc_macro_both_views" not in probe().evaluate(one_view, TEST).metrics


def test_the_mean_of_findings_leaves_out_devices_and_counts_duplicates_once() -> None:
    features = made()
    features.labels[:, 2] = features.labels[:, 0]
    occasion = Occasion("test", NAMES, final=True, findings=("left", "rare"))
    result = probe().evaluate(features, occasion)
    found = result.metrics
    assert result.details["findings"] == [["left", "rare"]]
    mean = (found["auroc/left"] + found["auroc/rare"]) / 2
    assert found["auroc_macro_findings"] == pytest.approx(mean) and found["auroc_macro"] != pytest.approx(
        mean
    )
    assert "auroc_macro_findings" in result.draws


def test_a_view_that_stands_in_for_a_finding_is_unmasked_by_the_strata() -> None:
    g = torch.Generator().manual_seed(0)
    n, index = 400, torch.arange(400)
    view = index % 2
    labels = (torch.rand(n, 1, generator=g) < torch.where(view == 1, 0.8, 0.2)[:, None]).float()
    pooled = torch.randn(n, 4, generator=g)
    pooled[:, 0] += 5 * view  # knows the view and nothing else
    features = Features(pooled, pooled, index, None, labels, index, view)
    found = probe().evaluate(features, Occasion("test", ("sick",), True)).metrics
    assert found["auroc_macro"] > 0.72
    assert found["PA/auroc_macro"] == pytest.approx(0.5, abs=0.12)
    assert found["AP/auroc_macro"] == pytest.approx(0.5, abs=0.12)


def test_floors_are_compared_on_the_same_patients() -> None:
    features = made(signal=1.5)
    noise = torch.randn(240, 5, generator=torch.Generator().manual_seed(1))
    twin = {"same": features.pooled.clone(), "noise": noise, "pixels": torch.cat([noise, features.pooled], 1)}
    features.extra.update(twin)
    result = with_intervals(probe(components={"pixels": 3}).evaluate(features, TEST))
    found, intervals = result.metrics, result.details["intervals"]
    assert found["same/auroc_macro"] == found["auroc_macro"] and found["minus_same"] == 0
    assert intervals["minus_same"] == [0, 0]  # paired: unpaired resamples would differ
    assert found["minus_noise"] == pytest.approx(found["auroc_macro"] - found["noise/auroc_macro"])
    assert intervals["minus_noise"][0] > 0
    assert {"PA/minus_noise", "AP/noise/auroc_macro"} <= found.keys()
    unreduced = probe(components={}).evaluate(features, TEST).metrics
    assert unreduced["pixels/auroc_macro"] > found["pixels/auroc_macro"]


def test_a_floor_that_was_drawn_several_times_is_their_mean() -> None:
    features, g = made(signal=1.5), torch.Generator().manual_seed(2)
    draws = torch.stack(
        [features.pooled + scale * torch.randn(240, 6, generator=g) for scale in (1, 2, 4)], 1
    )
    features.extra["random_init"] = draws
    result = probe().evaluate(features, TEST)
    single = []
    for k in range(3):
        features.extra["random_init"] = draws[:, k]
        single.append(probe().evaluate(features, TEST))
    for figure in ("random_init/auroc_macro", "minus_random_init", "PA/random_init/auroc/left"):
        assert result.metrics[figure] == pytest.approx(np.mean([one.metrics[figure] for one in single]))
        assert np.allclose(result.draws[figure], np.mean([one.draws[figure] for one in single], axis=0))
    told = result.details["floors"]["random_init"]
    values = [one.metrics["random_init/auroc_macro"] for one in single]
    assert told["auroc_macro"] == pytest.approx(values)
    assert told["standard_deviation"] == pytest.approx(np.std(values, ddof=1))


def test_intervals_are_left_to_the_last_epoch() -> None:
    early = probe().evaluate(made(), Occasion("val", NAMES, final=False))
    assert early.draws == {}
    assert early.metrics == probe().evaluate(made(), TEST).metrics
    assert probe(resamples=0).evaluate(made(), TEST).draws == {}


def test_subsets_have_a_mean_of_their_own() -> None:
    result = probe(subsets={"one": ["right", "rare"]}).evaluate(made(), TEST)
    assert result.metrics["one/auroc_macro"] == result.metrics["auroc/right"]
    assert (result.draws["PA/one/auroc_macro"] == result.draws["PA/auroc/right"]).all()
    with pytest.raises(ValueError, match=r"subset 'one' of LinearProbe names \['wrong'\]"):
        probe(subsets={"one": ["wrong"]}).evaluate(made(), TEST)


def test_order_and_duplication_of_nothing_else_matters() -> None:
    """The folds follow the patients, so that a figure does not depend on who else is where."""
    features = made()
    order = torch.randperm(240, generator=torch.Generator().manual_seed(3))
    turned = Features(
        *(getattr(features, name)[order] for name in ("image", "pooled", "index")),
        None,
        *(getattr(features, name)[order] for name in ("labels", "group", "view")),
    )
    first, second = probe().evaluate(features, TEST).metrics, probe().evaluate(turned, TEST).metrics
    assert second == pytest.approx(first, abs=1e-4)


def test_too_little_to_probe_is_noted_instead_of_crashing() -> None:
    nothing = probe().evaluate(made(), Occasion("test", (), True))
    assert nothing.metrics == {} and "no labels" in nothing.details["note"]
    one_patient = made()
    one_patient.group[:] = 5
    assert "one fold" in probe().evaluate(one_patient, TEST).details["note"]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="folds=1"):
        LinearProbe(folds=1)
    with pytest.raises(ValueError, match="penalty=0"):
        LinearProbe(penalty=0)
    with pytest.raises(ValueError, match="resamples=-1"):
        LinearProbe(resamples=-1)
