from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lightning_modules import SigLIP
from lightning_modules.objectives import Gather

Make = Callable[..., Any]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (3.0, 0.5)])
def test_siglip_equals_the_slow_sum(features: Make, count: int, scale: float, bias: float) -> None:
    image, text = features(count)
    found = SigLIP(scale, bias)(image, text, {}, Gather())
    expected = 0.0
    for i in range(count):
        for j in range(count):
            logit = scale * float(image.projected[i] @ text.projected[j]) + bias
            expected += math.log(1 + math.exp(-logit if i == j else logit))
    assert float(found["loss"]) == pytest.approx(expected / count, rel=1e-5)
    assert (float(found["scale"]), float(found["bias"])) == (pytest.approx(scale), bias)


def test_scale_and_bias_are_learned_and_the_scale_is_clamped(features: Make) -> None:
    objective = SigLIP()
    objective(*features(), {}, Gather())["loss"].backward()
    assert objective.log_scale.grad is not None and objective.bias.grad is not None
    assert min(abs(objective.log_scale.grad), abs(objective.bias.grad)) > 0
    with torch.no_grad():
        objective.log_scale.fill_(9.0)
    objective.after_step()
    assert objective.log_scale.item() == pytest.approx(math.log(100))


@pytest.mark.parametrize("scale", [0.0, -1.0, 101.0])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale is {scale}: give a number above 0"):
        SigLIP(scale)
