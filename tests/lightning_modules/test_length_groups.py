"""Texts of like length side by side: less is computed, and the same comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules import MGCA, BertEncoder, DualEncoder, GLoRIA, InfoNCE, Objective
from lightning_modules.length_groups import LengthGroups
from lightning_modules.objectives import Gather

OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "InfoNCE": InfoNCE,
    "GLoRIA": lambda: GLoRIA(32, 32, dim=16),
    "MGCA": lambda: MGCA(32, 32, 16, dim=16, prototypes=5),
}


def mask_of(lengths: list[int], tokens: int) -> Tensor:
    return (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.sampled_from([1, 3, 8]))
def test_every_token_has_a_place_and_comes_back_to_it(lengths: list[int], multiple: int) -> None:
    tokens = max(lengths)
    mask = mask_of(lengths, tokens)
    groups = LengthGroups.of(mask, multiple)
    values = torch.arange(1, mask.numel() + 1).view(mask.shape)
    back = groups.padded(groups.packed(values)[..., None].float())[..., 0]
    assert torch.equal(back * mask, (values * mask).float())
    assert torch.equal(groups.positions[0], groups.packed(torch.arange(tokens).expand(mask.shape))[0])
    assert sum(texts for texts, _ in groups.sizes) == len(lengths) and len(groups.sizes) <= 16
    assert len(groups.place) <= sum(min(length + 3 * multiple, tokens) for length in lengths)


def encoder(**options: Any) -> BertEncoder:
    torch.manual_seed(0)
    return BertEncoder(
        vocab_size=20, width=32, layers=2, heads=2, max_length=48, projection_dim=16, **options
    )


def texts(lengths: list[int], left: bool = False) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    mask = mask_of(lengths, max(lengths))
    return {
        "input_ids": torch.randint(1, 20, mask.shape, generator=draw),
        "attention_mask": mask.flip(1) if left else mask,
    }


@pytest.mark.parametrize("left", [False, True], ids=["padded on the right", "padded on the left"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_features_are_those_of_the_padded_batch(
    pooling: Any, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert, batch = encoder(pooling=pooling).eval(), texts([3, 40, 17, 18, 1, 40, 26], left)
    grouped = bert(batch)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    padded = bert(batch)
    mask = batch["attention_mask"].bool()
    assert torch.equal(grouped.local_mask, padded.local_mask)
    torch.testing.assert_close(grouped.local[mask], padded.local[mask], rtol=1e-5, atol=1e-5)
    if not left or pooling == "mean":  # a [CLS] that is padding means nothing
        torch.testing.assert_close(grouped.projected, padded.projected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradient_are_those_of_the_padded_batch(
    name: str, model: Callable[..., DualEncoder], batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = texts([3, 9, 16, 7, 8, 12])
    batch = {**batch, "input_ids": longer["input_ids"] % 16, "attention_mask": longer["attention_mask"]}

    def found() -> tuple[Tensor, Tensor]:
        dual = model(OBJECTIVES[name]())
        loss = dual.losses(batch, Gather())["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), torch.cat([p.grad.flatten() for p in dual.parameters() if p.grad is not None])

    grouped = found()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    padded = found()
    torch.testing.assert_close(grouped, padded, rtol=1e-5, atol=1e-5)


def test_dropout_and_recomputed_blocks_work_in_groups() -> None:
    batch = texts([3, 40, 17])

    def gradient(**options: Any) -> Tensor:
        bert = encoder(dropout=0.3, **options).train()
        torch.manual_seed(1)
        bert(batch).projected[:, 0].sum().backward()
        return torch.cat([p.grad.flatten() for p in bert.parameters() if p.grad is not None])

    once = gradient()
    torch.testing.assert_close(gradient(gradient_checkpointing=True), once)
    assert not torch.equal(encoder(dropout=0.3).train()(batch).projected, encoder()(batch).projected)


def test_no_token_is_computed_for_padding_beyond_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    bert, seen = encoder(), []
    hook = bert.bert.encoder.layer[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    bert(texts([3, 40, 17]))
    hook.remove()
    assert seen == [(1, 8 + 24 + 40, 32)]
