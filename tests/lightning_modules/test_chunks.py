"""Batches encoded in chunks, so that memory holds the activations of a few samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import CounterfactualTwins, DualEncoder, GLoRIA, InfoNCE, chunks

Make = Callable[..., Any]


class FirstGradients(L.Callback):
    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if not self.found:
            self.found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def gradients(dual: DualEncoder, data: Make, trainer: Make, **options: Any) -> dict[str, Tensor]:
    first = FirstGradients()
    trainer(max_steps=1, callbacks=[first], limit_val_batches=0, **options).fit(
        dual, data(count=11, batch_size=11)
    )
    return first.found


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys() and len(found) > 20
    least = 1e-2 * max(value.norm() for value in expected.values())  # biases of keys have none but rounding
    for name, value in expected.items():
        error = (found[name] - value).norm() / value.norm().clamp_min(least)
        assert error < tolerance, f"{name}: {error}"


@pytest.mark.parametrize("size", [1, 4, 11])
@pytest.mark.parametrize("objective", [InfoNCE, lambda: GLoRIA(32, 32, dim=16)], ids=["InfoNCE", "GLoRIA"])
def test_the_gradient_is_that_of_the_whole_batch(
    objective: Make, size: int, model: Make, data: Make, trainer: Make
) -> None:
    torch.manual_seed(0)
    whole = gradients(model(objective()), data, trainer)
    torch.manual_seed(0)
    chunked = gradients(model(objective(), encoded_at_once=size), data, trainer)
    assert_equal(chunked, whole, 1e-4)


def test_the_gradient_holds_in_mixed_precision(model: Make, data: Make, trainer: Make) -> None:
    whole = gradients(model(), data, trainer, precision="bf16-mixed")
    chunked = gradients(model(encoded_at_once=4), data, trainer, precision="bf16-mixed")
    assert_equal(chunked, whole, 0.05)


def test_dropout_is_the_same_in_both_passes(
    model: Make, data: Make, trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = {"image": {"dropout": 0.3, "patch_drop": 0.25}, "text": {"dropout": 0.3}}
    twice = gradients(model(**noisy, encoded_at_once=4), data, trainer)
    monkeypatch.setattr(chunks, "checkpoint", lambda function, *given, use_reentrant: function(*given))
    once = gradients(model(**noisy, encoded_at_once=4), data, trainer)
    assert_equal(twice, once, 1e-5)
    other = gradients(model(**noisy, encoded_at_once=4, seed=1), data, trainer)
    with pytest.raises(AssertionError):  # the control: another dropout is another gradient
        assert_equal(other, once, 1e-2)


def test_no_more_activations_exist_than_those_of_a_chunk(model: Make, batch: dict[str, Tensor]) -> None:
    def kept(size: int | None, copies: int) -> int:
        dual, stored = model(encoded_at_once=size), 0

        def store(tensor: Tensor) -> Tensor:
            nonlocal stored
            stored += tensor.numel() if tensor.grad_fn is not None else 0
            return tensor

        large = {key: torch.cat([value] * copies) for key, value in batch.items()}
        image, _ = dual._towers()
        with torch.autograd.graph.saved_tensors_hooks(store, lambda tensor: tensor):
            image(large)
        return stored

    assert kept(None, 8) > 4 * kept(None, 1)
    assert kept(6, 8) < kept(None, 1)


def test_tokens_are_kept_only_where_they_are_read(model: Make, batch: dict[str, Tensor]) -> None:
    def tokens(*of: Any, **options: Any) -> list[int]:
        return [tower(batch).local.shape[1] for tower in model(*of, encoded_at_once=2, **options)._towers()]

    assert tokens(InfoNCE()) == tokens(CounterfactualTwins(InfoNCE())) == [0, 0]
    assert min(tokens(GLoRIA(32, 32, dim=16)) + tokens(CounterfactualTwins(GLoRIA(32, 32, dim=16)))) > 0


@pytest.mark.parametrize("size", [0, -3])
def test_a_chunk_of_nothing_is_refused(size: int, model: Make) -> None:
    with pytest.raises(ValueError, match=rf"encoded_at_once={size}: give 1 or more"):
        model(encoded_at_once=size)
