from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import CounterfactualTwins, EncodedTwins, GLoRIA, InfoNCE
from lightning_modules.objectives import Gather

Make = Callable[..., Any]


def slow_term(v: Tensor, u: Tensor, w: Tensor, s: Tensor, differs: list[bool], temperature: float) -> float:
    """Own image v and report u, the twin's image w and report s; one choice between two at a time."""

    def choice(right: Tensor, wrong: Tensor) -> float:
        a, b = math.exp(float(right) / temperature), math.exp(float(wrong) / temperature)
        return -math.log(a / (a + b))

    losses = []
    for i, there in enumerate(differs):
        if there:
            for_images = choice(v[i] @ u[i], v[i] @ s[i]) + choice(w[i] @ s[i], w[i] @ u[i])
            for_reports = choice(u[i] @ v[i], u[i] @ w[i]) + choice(s[i] @ w[i], s[i] @ v[i])
            losses.append((for_images + for_reports) / 4)
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("differs", [[True] * 5, [True, False, True, True, False], [False] * 5])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_twins_add_the_slow_term_to_any_objective(features: Make, differs: list[bool], weight: float) -> None:
    image, text = features()
    other_image, other_text = features(seed=1)
    batch = {"twins": EncodedTwins(other_image, other_text, torch.tensor(differs))}
    base = InfoNCE(0.2)
    found = CounterfactualTwins(base, weight, 0.3)(image, text, batch, Gather())
    projected = [f.projected for f in (image, text, other_image, other_text)]
    term = slow_term(*projected, differs, 0.3)
    assert float(found["twin_loss"]) == pytest.approx(term, rel=1e-5)
    alone = base(image, text, {}, Gather())
    assert float(found["loss"]) == pytest.approx(float(alone["loss"]) + weight * term, rel=1e-5)
    assert found.keys() >= alone.keys() and float(found["twins"]) == pytest.approx(sum(differs) / 5)


def test_a_twin_of_unlike_features_is_told_apart(features: Make) -> None:
    image, _ = features()
    opposite = EncodedTwins(*[type(image)(image.pooled, image.local, -image.projected, image.local_mask)] * 2,
                            torch.ones(5).bool())  # fmt: skip
    found = CounterfactualTwins(InfoNCE())(image, image, {"twins": opposite}, Gather())
    assert float(found["twins_right"]) == 1 and float(found["twin_loss"]) < 1e-6


def test_missing_twins_are_refused_in_training_alone(features: Make) -> None:
    objective = CounterfactualTwins(InfoNCE())
    with pytest.raises(KeyError, match=r"train on a data module that makes twins"):
        objective(*features(), {}, Gather())
    found = objective.eval()(*features(), {}, Gather())
    torch.testing.assert_close(found["loss"], InfoNCE()(*features(), {}, Gather())["loss"])
    assert "twin_loss" not in found


def test_the_objective_inside_is_clamped_and_asked_about_texts(features: Make) -> None:
    objective = CounterfactualTwins(InfoNCE())
    with torch.no_grad():
        objective.objective.log_scale.fill_(9.0)
    objective.after_step()
    assert objective.objective.log_scale.item() == pytest.approx(math.log(100))
    _, text = features()
    expected = InfoNCE(0.01)(text, text, {}, Gather())["loss"]
    torch.testing.assert_close(objective.agreement(text, text, {}, Gather()), expected)
    with pytest.raises(ValueError, match="set text_agreement to 0"):
        CounterfactualTwins(GLoRIA(6, 5)).agreement(text, text, {}, Gather())


def test_the_model_encodes_the_twins(model: Make, batch: dict[str, Tensor]) -> None:
    """Every row is its own twin's twin: encoded alike, whatever stands in the batch."""
    dual = model(CounterfactualTwins(InfoNCE())).eval()
    flipped = {key: batch[key].flip(0) for key in ("image", "input_ids", "attention_mask")}
    seen: dict[str, Any] = {}
    dual.objective.register_forward_hook(lambda _, inputs, __: seen.update(inputs[2]))
    dual.log = lambda *_, **__: None
    dual.validation_step({**batch, "twins": {**flipped, "left_out": torch.ones(6).long()}}, 0)
    images, texts = dual(batch)
    torch.testing.assert_close(seen["twins"].images.projected, images.projected.flip(0))
    torch.testing.assert_close(seen["twins"].texts.projected, texts.projected.flip(0))


@pytest.mark.parametrize("arguments", [{"weight": -1.0}, {"temperature": 0.0}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give ≥ 0 and > 0"):
        CounterfactualTwins(InfoNCE(), **arguments)
