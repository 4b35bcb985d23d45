from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules import GLoRIA
from lightning_modules.objectives import Gather, gloria

Make = Callable[..., Any]


def slow_fit(regions: Tensor, words: Tensor, attention: float, word: float) -> float:
    """Fit of one text to one image: words one by one, each over all regions, as in the paper's equations."""
    total = 0.0
    shares = torch.stack([(words @ region).softmax(0) for region in regions])  # (region, word)
    for k, w in enumerate(words):
        weights = (attention * shares[:, k]).softmax(0)
        found = sum(float(a) * region for a, region in zip(weights, regions, strict=True))
        total += float(torch.exp(word * (w @ found) / (w.norm() * found.norm())))  # type: ignore[union-attr]
    return float(torch.tensor(total).log())


@pytest.mark.parametrize(("weights", "most"), [((1.0, 1.0), 97), ((0.3, 0.0), 2)])
def test_gloria_equals_the_slow_sum(
    features: Make, weights: tuple[float, float], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gloria, "_TEXTS_AT_ONCE", 2)  # 5 texts in three parts
    torch.manual_seed(0)
    image, text = features()
    objective = GLoRIA(6, 5, 9, most, 2.0, 3.0, 4.0, *weights)
    found = objective(image, text, {}, Gather())
    local, whole = torch.zeros(5, 5), torch.zeros(5, 5)
    for i in range(5):
        for j in range(5):
            length = int(text.local_mask[j].sum())
            words = objective.text_local(text.local[j, 1 : length - 1][:most])  # neither [CLS] nor [SEP]
            local[i, j] = 4 * slow_fit(objective.image_local(image.local[i]), words, 2.0, 3.0)
            whole[i, j] = 4 * image.projected[i] @ text.projected[j]
    own = torch.arange(5)
    both = [F.cross_entropy(x, own) + F.cross_entropy(x.T, own) for x in (local, whole)]
    torch.testing.assert_close(found["local_loss"], both[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["global_loss"], both[1], rtol=1e-4, atol=1e-5)
    expected = weights[0] * both[0] + weights[1] * both[1]
    torch.testing.assert_close(found["loss"], expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns(features: Make) -> None:
    objective = GLoRIA(6, 5)
    objective(*features(), {}, Gather())["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in objective.parameters())


def test_padding_changes_nothing(features: Make) -> None:
    image, text = features()
    objective = GLoRIA(6, 5)
    before = objective(image, text, {}, Gather())["loss"]
    text.local = torch.cat([text.local * text.local_mask[..., None], torch.full((5, 3, 5), 7.0)], 1)
    text.local_mask = torch.cat([text.local_mask, torch.zeros(5, 3).bool()], 1)
    torch.testing.assert_close(objective(image, text, {}, Gather())["loss"], before)


def test_what_cannot_work_is_refused(features: Make) -> None:
    _, text = features()
    with pytest.raises(ValueError, match="not two texts: set text_agreement to 0"):
        GLoRIA(6, 5).agreement(text, text, {}, Gather())
    for wrong in ({"attention": 0.0}, {"local_weight": -1.0}):
        with pytest.raises(ValueError, match="must be above 0, the weights"):
            GLoRIA(6, 5, **wrong)
