from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import InfoNCE, MultiViewInfoNCE
from lightning_modules.objectives import Gather

Make = Callable[..., Any]


def info_nce(a: Tensor, b: Tensor, weight: float = 0.5) -> Tensor:
    """Spelt out, at τ = 0.07."""
    similar = a @ b.T / 0.07
    rows = -similar.log_softmax(1).diag().mean()
    return weight * rows - (1 - weight) * similar.log_softmax(0).diag().mean()


@pytest.mark.parametrize(("images", "texts"), [(2, 2), (2, 1), (1, 2), (3, 2)])
def test_every_combination_counts(features: Make, images: int, texts: int) -> None:
    views = [features(seed=seed) for seed in range(3)]
    v, u = [image for image, _ in views[:images]], [text for _, text in views[:texts]]
    found = MultiViewInfoNCE(0.9, image_weight=0.7).over_views(v, u, [{}] * texts, Gather())
    across = [info_nce(a.projected, b.projected, 0.7) for a, b in product(v, u)]
    expected = sum(across) / len(across)
    among = [info_nce(v[i].projected, v[j].projected) for i in range(images) for j in range(i)]
    expected = expected + 0.9 * sum(among) / max(1, len(among))
    torch.testing.assert_close(found["loss"], expected)
    assert ("image_loss" in found) == (images > 1)


def test_the_model_encodes_every_view(model: Make, batch: dict[str, Tensor]) -> None:
    dual = model(MultiViewInfoNCE(), text_agreement=0.5)  # the third term of the paper
    dual._trainer = L.Trainer(logger=False, accelerator="cpu", barebones=True)
    logged: dict[str, float] = {}
    dual.log = lambda name, value, **_: logged.update({name: float(value)})
    other = {"input_ids": batch["input_ids"].flip(0), "attention_mask": batch["attention_mask"].flip(0)}
    views = {"other_images": [batch["image"].flip(0)], "other_texts": [other]}
    loss = dual.training_step({**batch, **views}, 0)
    images, texts = dual(batch)
    v, u = images.projected, texts.projected
    across = (2 * info_nce(v, u) + 2 * info_nce(v, u.flip(0))) / 4
    expected = across + info_nce(v, v.flip(0)) + 0.5 * info_nce(u, u.flip(0))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    assert logged["train/image_loss"] == pytest.approx(float(info_nce(v, v.flip(0))), rel=1e-4)


def test_one_view_is_refused_in_training_and_info_nce_in_evaluation(features: Make) -> None:
    image, text = features()
    with pytest.raises(ValueError, match=r"views\.image_views"):
        MultiViewInfoNCE().over_views([image], [text], [{}], Gather())
    expected = InfoNCE()(image, text, {}, Gather())["loss"]
    torch.testing.assert_close(MultiViewInfoNCE()(image, text, {}, Gather())["loss"], expected)
    with pytest.raises(ValueError, match="give a weight ≥ 0"):
        MultiViewInfoNCE(image_agreement=-1.0)
