from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from lightning_modules import ViTEncoder
from lightning_modules.optimization import parameter_groups, warmup_cosine

Make = Callable[..., Any]


def names(model: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    found = {id(parameter): name for name, parameter in model.named_parameters()}
    return {found[id(parameter)] for parameter in parameters}


@pytest.mark.parametrize("stem", [None, [4, 8, 16]])
def test_only_kernels_decay(stem: list[int] | None, model: Make) -> None:
    dual = model(image={"stem_channels": stem, "projection_hidden": 24})
    decayed, others = parameter_groups(dual, 0.3)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    kernels, rest = names(dual, decayed["params"]), names(dual, others["params"])
    assert kernels | rest == {name for name, _ in dual.named_parameters()} and not kernels & rest
    expected = {
        f"{name}.weight" for name, part in dual.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)
    }
    assert kernels == expected
    vit, bert = "image_encoder.vit", "text_encoder.bert"
    for name in (
        "objective.log_scale",
        f"{vit}.embeddings.cls_token",
        f"{vit}.embeddings.position_embeddings",
        f"{vit}.layernorm.weight",
        f"{bert}.embeddings.word_embeddings.weight",
        "image_encoder.projection.0.bias",
    ):
        assert name in rest


def test_registers_and_frozen_and_shared_parameters(tmp_path: Path) -> None:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes)).save_pretrained(tmp_path)
    encoder = ViTEncoder(32, 8, 32, 1, 2, pretrained=str(tmp_path))
    rest = names(encoder, parameter_groups(encoder, 0.1)[1]["params"])
    assert "vit.embeddings.register_tokens" in rest and any(name.endswith("lambda1") for name in rest)
    layer = nn.Linear(3, 3)
    layer.bias.requires_grad_(False)
    groups = parameter_groups(nn.ModuleList([layer, layer]), 0.1)
    assert [group["name"] for group in groups] == ["decayed"] and groups[0]["params"] == [layer.weight]


def rates(warmup: int | float, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimizer, warmup, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_rate_rises_to_its_peak_and_falls_along_a_cosine() -> None:
    found = rates(4, 20)
    assert found[:5] == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert found[4:] == pytest.approx([1 + math.cos(math.pi * i / 16) for i in range(16)])
    assert rates(0.2, 20) == found
    assert rates(0, 20)[0] == 2.0


@pytest.mark.parametrize(
    ("warmup", "steps", "message"),
    [
        (0.1, math.inf, "set trainer.max_epochs or trainer.max_steps"),
        (1.0, 100, r"warmup is 1.0: give a share of all steps in \[0, 1\)"),
        (200, 100, "warmup is 200 steps, training has 100"),
        (-1, 100, "warmup is -1 steps"),
    ],
)
def test_impossible_schedules_are_refused(warmup: int | float, steps: float, message: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=message):
        warmup_cosine(optimizer, warmup, steps)


class GivenGradients(L.Callback):
    """Sees the norms of the gradients that optimiser steps were made of."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_zero_grad(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any) -> None:
        if gradients := [p.grad for p in module.parameters() if p.grad is not None]:
            self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("clip", [1e-3, None])
def test_adamw_is_fused_and_gets_clipped_gradients(
    precision: str, clip: float | None, model: Make, data: Make, trainer: Make
) -> None:
    seen = GivenGradients()
    fit = trainer(max_steps=3, precision=precision, gradient_clip_val=clip, callbacks=[seen])
    fit.fit(model(betas=(0.8, 0.9), weight_decay=0.2), data())
    groups = fit.optimizers[0].param_groups
    assert all(group["fused"] and group["betas"] == (0.8, 0.9) for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.2, 0.0]
    assert len(seen.norms) >= 2
    if clip is None:
        assert min(seen.norms) > 1e-2
    else:
        assert seen.norms == pytest.approx([clip] * len(seen.norms), rel=1e-2)
