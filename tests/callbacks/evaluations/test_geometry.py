from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn.functional import normalize

from callbacks import EmbeddingGeometry, Features, Occasion
from callbacks.evaluations.geometry import effective_rank, uniformity

TEST = Occasion("test", (), final=True)


def measured(images: torch.Tensor, texts: torch.Tensor | None, samples: int = 2000):
    index = torch.arange(len(images))
    features = Features(images, images, index, texts, torch.empty(len(images), 0), index, index * 0 - 1)
    return EmbeddingGeometry(samples).evaluate(features, TEST)


def unit(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_figures_equal_a_slow_count() -> None:
    images, texts = unit(12, 5).double(), unit(12, 5, 1).double()
    found = measured(images, texts).metrics
    pairs = list(itertools.combinations(range(12), 2))
    for name, x in (("image", images), ("text", texts)):
        mean = sum(math.exp(-2 * float(((x[i] - x[j]) ** 2).sum())) for i, j in pairs) / len(pairs)
        assert found[f"uniformity_{name}"] == pytest.approx(math.log(mean))
    assert found["alignment"] == pytest.approx(
        sum(float(((a - b) ** 2).sum()) for a, b in zip(images, texts, strict=True)) / 12
    )
    assert found["modality_gap"] == pytest.approx(float((sum(images) / 12 - sum(texts) / 12).norm()))
    assert found["uniformity"] == pytest.approx((found["uniformity_image"] + found["uniformity_text"]) / 2)


def test_known_shapes() -> None:
    same = unit(30, 8)
    assert measured(same, same).metrics["alignment"] == 0 == measured(same, same).metrics["modality_gap"]
    assert measured(same, -same).metrics["alignment"] == pytest.approx(4)
    one_point = torch.ones(10, 4) / 2
    collapsed = measured(one_point, -one_point).metrics
    assert collapsed["uniformity"] == pytest.approx(0) and collapsed["modality_gap"] == pytest.approx(2)
    assert "effective_rank_image" not in collapsed  # a point has no directions
    spread = uniformity(unit(2000, 64).double())
    assert -4 < spread < -3.8  # near the bound of many dimensions, where all distances are √2


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    corners = torch.cat([torch.eye(rank), -torch.eye(rank)]).double()
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double()).Q
    assert effective_rank(corners @ turn[:rank] + 7.0) == pytest.approx(rank)


def test_only_the_first_samples_are_looked_at_and_image_only_data_is_noted() -> None:
    images, texts = unit(40, 6), unit(40, 6, 1)
    assert measured(images, texts, 20).metrics == measured(images[:20], texts[:20]).metrics
    alone = measured(images, None)
    assert alone.metrics["uniformity"] == alone.metrics["uniformity_image"]
    assert "modality_gap" not in alone.metrics and "image-only" in alone.details["note"]
    assert measured(images[:1], texts[:1]).metrics == {}
    with pytest.raises(ValueError, match="samples=1"):
        EmbeddingGeometry(samples=1)
