from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import InfoNCE, MedCLIP
from lightning_modules.objectives import Gather

Make = Callable[..., Any]
NAN = math.nan
LABELS = [[1, 0, 0], [0, 1, 0], [1, 0, NAN], [NAN, NAN, NAN], [0, 0, 0]]
OTHERS = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, NAN], [0, 1, 1]]


def sign(label: float) -> float:
    return 0.0 if math.isnan(label) else 2 * label - 1


def slow_loss(
    v: Tensor, u: Tensor, images: list[list[float]], texts: list[list[float]], cosine: bool
) -> float:
    """Signed labels of both sides; one target and one logarithm at a time."""

    def agree(a: list[float], b: list[float]) -> float:
        product = sum(x * y for x, y in zip(a, b, strict=True))
        lengths = math.hypot(*a) * math.hypot(*b)
        return product if not cosine else product / lengths if lengths else 0.0

    def direction(rows: Tensor, columns: Tensor, l_rows: Any, l_columns: Any) -> float:
        total = 0.0
        for i in range(len(rows)):
            similar = [float(rows[i] @ c) / 0.2 for c in columns]
            targets = [math.exp(agree(l_rows[i], label)) for label in l_columns]
            below = math.log(sum(map(math.exp, similar)))
            total -= sum(t * (s - below) for t, s in zip(targets, similar, strict=True)) / sum(targets)
        return total / len(rows)

    return 0.6 * direction(v, u, images, texts) + 0.4 * direction(u, v, texts, images)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("source", ["own", "unpaired", "claims"])
def test_med_clip_equals_the_slow_sum(features: Make, cosine: bool, source: str) -> None:
    image, text = features()
    images = [[sign(x) for x in row] for row in LABELS]
    batch: dict[str, Any] = {"labels": torch.tensor(LABELS)}
    texts = images
    if source != "own":
        batch["text_labels"] = torch.tensor(OTHERS)
        texts = [[sign(x) for x in row] for row in OTHERS]
    if source == "claims":
        batch["asserted"] = torch.eye(5, 3)
        batch["denied"] = torch.eye(5, 3).flip(0)
        texts = (batch["asserted"] - batch["denied"]).tolist()
    found = MedCLIP(cosine, temperature=0.2, image_weight=0.6)(image, text, batch, Gather())
    expected = slow_loss(image.projected, text.projected, images, texts, cosine)
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)


def test_it_does_not_matter_which_text_stands_beside_which_image(features: Make) -> None:
    image, text = features()
    order = torch.tensor([3, 0, 4, 1, 2])
    labels = torch.tensor(LABELS)
    moved = type(text)(text.pooled[order], text.local[order], text.projected[order], text.local_mask[order])
    paired = MedCLIP()(image, text, {"labels": labels}, Gather())
    unpaired = MedCLIP()(image, moved, {"labels": labels, "text_labels": labels[order]}, Gather())
    torch.testing.assert_close(paired["loss"], unpaired["loss"])


def test_texts_of_a_report_agree_by_the_labels_of_the_report_s_patient(features: Make) -> None:
    _, text = features()
    batch = {"labels": torch.tensor(LABELS), "text_labels": torch.tensor(OTHERS)}
    expected = MedCLIP()(text, text, {"labels": torch.tensor(OTHERS)}, Gather())["loss"]
    torch.testing.assert_close(MedCLIP().agreement(text, text, batch, Gather()), expected)


def test_labels_are_needed(features: Make) -> None:
    with pytest.raises(KeyError, match="without labels nothing says what belongs together"):
        MedCLIP()(*features(), {"image": torch.zeros(5)}, Gather())


def test_an_objective_of_pairs_refuses_texts_of_others(model: Make, batch: dict[str, Tensor]) -> None:
    unpaired = {**batch, "text_labels": batch["labels"].flip(0)}
    for objective, refused in ((InfoNCE(), True), (MedCLIP(), True), (MedCLIP(unpaired=True), False)):
        dual = model(objective)
        dual._trainer = L.Trainer(logger=False, accelerator="cpu", barebones=True)
        dual.log = lambda *_, **__: None
        if refused:
            with pytest.raises(ValueError, match="learns from pairs"):
                dual.training_step(unpaired, 0)
        else:
            assert dual.training_step(unpaired, 0).isfinite()
