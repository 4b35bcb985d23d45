from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules import MFLAG, Adaptation
from lightning_modules.objectives import Gather

Make = Callable[..., Any]


def frozen(features: Make, count: int = 5) -> Any:
    image, text = features(count)
    text.pooled = text.pooled.detach()
    return image, text


@pytest.mark.parametrize(("weight", "off"), [(1.0, 0.0051), (0.3, 0.5)])
def test_m_flag_equals_the_slow_sum(features: Make, weight: float, off: float) -> None:
    image, text = frozen(features)
    found = MFLAG(weight, off)(image, text, {}, Gather())
    x, y = (F.batch_norm(f.projected, None, None, training=True) for f in (image, text))
    align = sum(2 * (2 - 2 * float(a @ b / (a.norm() * b.norm()))) for a, b in zip(x, y, strict=True)) / 5
    orthogonal = 0.0
    for i in range(6):
        for j in range(6):
            entry = float(image.pooled[:, i] @ image.pooled[:, j]) / 5
            orthogonal += 0.5 * ((entry - 1) ** 2 if i == j else off * entry**2)
    assert float(found["align_loss"]) == pytest.approx(align, rel=1e-4)
    assert float(found["orthogonal_loss"]) == pytest.approx(orthogonal, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(align + weight * orthogonal, rel=1e-4)


def test_agreeing_on_a_constant_does_not_pay(features: Make) -> None:
    """Without negatives this is where alignment alone would end."""
    image, text = frozen(features)
    constant = F.normalize(torch.ones(5, 8) + 1e-4 * image.projected.detach(), dim=1)
    noise = F.normalize(torch.ones(5, 8) + 1e-4 * text.projected.detach(), dim=1)
    image.projected, text.projected = constant, noise
    assert float((constant * noise).sum(1).min()) > 0.9999
    assert float(MFLAG()(image, text, {}, Gather())["align_loss"]) > 1


def test_a_text_encoder_that_is_trained_is_refused(model: Make, batch: dict[str, Tensor]) -> None:
    for adaptation, refused in ((None, True), (Adaptation(frozen_layers="all"), False)):
        dual = model(MFLAG(), text={"adaptation": adaptation})
        dual._trainer = L.Trainer(logger=False, accelerator="cpu", barebones=True)
        dual.log = lambda *_, **__: None
        if refused:
            with pytest.raises(ValueError, match=r"adaptation\.frozen_layers to all"):
                dual.training_step(batch, 0)
        else:
            dual.training_step(batch, 0).backward()
            learned = {name for name, p in dual.named_parameters() if p.grad is not None}
            assert not any(name.startswith("text_encoder.bert") for name in learned)
            assert "text_encoder.projection.weight" in learned


def test_arguments_and_text_agreement_are_refused(features: Make) -> None:
    with pytest.raises(ValueError, match="give weights ≥ 0"):
        MFLAG(off_diagonal=-1.0)
    _, text = features()
    with pytest.raises(ValueError, match="set text_agreement to 0"):
        MFLAG().agreement(text, text, {}, Gather())
