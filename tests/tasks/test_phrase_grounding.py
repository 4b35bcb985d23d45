from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from callbacks import Features, Occasion, PhraseGrounding
from callbacks.evaluations.phrase_grounding import GroundedFinding, agreement, similarity_map
from lightning_modules import ViTEncoder

THRESHOLDS = (0.5, 0.9)


@pytest.mark.parametrize("pooling", ["mean", "spatial"])
def test_what_patches_add_is_what_the_image_is(pooling: Any) -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(32, 8, 16, 1, 2, pooling=pooling, projection_dim=6).eval()
    image = torch.rand(5, 1, 32, 32)
    output = encoder({"image": image})
    patches = encoder.project_local(output)
    assert patches.shape == (5, 16, 6)
    if pooling == "mean":
        whole = patches.mean(1)
    else:
        whole = patches.sum(1) + encoder.projection(encoder.mix.bias * (output.pooled > 0))
    assert torch.allclose(F.normalize(whole, dim=1), output.projected, atol=1e-5)


def test_a_map_on_its_mask_is_perfect_and_a_map_beside_it_is_not() -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:8, 8:12] = True
    pointing, chance, iou, cnr = agreement(mask.float() + 0.01 * torch.rand(16, 16), mask, THRESHOLDS)
    assert (pointing, chance, iou) == (1, 1 / 16, 1) and cnr > 20
    pointing, _, iou, cnr = agreement(mask.roll(8, 1).float(), mask, THRESHOLDS)
    assert (pointing, iou) == (0, 0) and cnr < 0
    half = 0.7 * mask.float() + 0.3 * mask.float() * (torch.arange(16) < 10)
    assert agreement(half, mask, THRESHOLDS)[2] == pytest.approx((1 + 0.5) / 2)  # whole at .5, half at .9
    assert agreement(torch.zeros(16, 16), mask, THRESHOLDS)[3] == 0


def test_a_map_points_where_the_patch_that_resembles_the_phrase_lies() -> None:
    patches = torch.zeros(4, 4, 3)
    patches[1, 2] = torch.tensor([0.0, 5, 0])
    map_ = similarity_map(patches, torch.tensor([0.0, 1, 0]), (32, 32))
    top = divmod(int(map_.argmax()), 32)
    assert 8 <= top[0] < 16 and 16 <= top[1] < 24
    assert similarity_map(patches, torch.tensor([1.0, 0, 0]), (32, 32)).abs().max() == 0


def test_findings_are_averaged_and_concepts_with_few_are_named() -> None:
    rows = [[GroundedFinding(0, float(i % 2), 0.25, 0.5, 1.0)] for i in range(20)]
    rows[3].append(GroundedFinding(1, 0.0, 0.25, 0.0, -1.0))
    index, none = torch.arange(20), torch.zeros(20, 2)
    features = Features(none, none, index, None, none, index, index, measured={"grounding": rows})
    result = PhraseGrounding(resamples=40).evaluate(features, Occasion("test", ("edema", "mass"), True))
    assert result.metrics["pointing"] == pytest.approx(10 / 21)
    assert result.metrics["pointing_gain"] == pytest.approx(10 / 21 - 0.25)
    assert result.metrics["pointing/edema"] == 0.5 and "pointing/mass" not in result.metrics
    assert result.details["left_out"] == {"mass": 1}
    assert result.draws.keys() == {
        "pointing",
        "pointing_chance",
        "pointing_gain",
        "iou",
        "cnr",
    }


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"thresholds=\[0.5, 1\]"):
        PhraseGrounding(thresholds=(0.5, 1))


def test_the_command_line_grounds_phrases(evaluate: Callable[..., Any]) -> None:
    summary, directory = evaluate("grounding")
    assert 0 < summary["test/grounding/pointing_chance"] < 1 and 0 <= summary["test/grounding/iou"] < 1
    assert summary.keys() >= {"test/grounding/pointing", "test/grounding/cnr"}
    details = summary["details"]["test/grounding"]
    assert details.keys() >= {"n", "split_sha256", "prompts_sha256", "intervals", "findings"}
    assert (directory / "pictures" / "test_grounding.png").stat().st_size > 10_000
