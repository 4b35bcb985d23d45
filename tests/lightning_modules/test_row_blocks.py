"""Losses over large similarity matrices, computed some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules import (
    ConceptAwareInfoNCE,
    ContradictionInfoNCE,
    EncoderOutput,
    InfoNCE,
    MedCLIP,
    MultiViewInfoNCE,
    SigLIP,
)
from lightning_modules.objectives import Gather, Objective, row_blocks

OBJECTIVES: Mapping[str, Callable[[], Objective]] = {
    "InfoNCE": lambda: InfoNCE(image_weight=0.75),
    "concepts masked": ConceptAwareInfoNCE,
    "concepts soft": lambda: ConceptAwareInfoNCE("soft", 0.3),
    "contradiction": ContradictionInfoNCE,
    "MedCLIP": MedCLIP,
    "SigLIP": SigLIP,
    "several images": MultiViewInfoNCE,
}
PAIRS = 37


def output(vectors: Tensor) -> EncoderOutput:
    return EncoderOutput(
        vectors, vectors[:, None], F.normalize(vectors, dim=-1), torch.ones(len(vectors), 1).bool()
    )


def batch_of(draw: torch.Generator) -> dict[str, Tensor]:
    labels = torch.randint(0, 2, (PAIRS, 3), generator=draw).float()
    claims = torch.rand(PAIRS, 3, generator=draw)
    labels[4, 1] = torch.nan
    return {"labels": labels, "asserted": (claims < 0.3).float(), "denied": (claims > 0.6).float()}


def stepped(objective: Objective, block: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Return scalars and gradients of one step."""
    monkeypatch.setattr(row_blocks, "BLOCK", block)
    draw = torch.Generator().manual_seed(0)
    image, text, other = (torch.randn(PAIRS, 5, generator=draw).requires_grad_() for _ in range(3))
    batch = batch_of(draw)
    images = [output(image), output(other)] if isinstance(objective, MultiViewInfoNCE) else [output(image)]
    scalars = objective.over_views(images, [output(text)], [batch], Gather())
    (3 * scalars["loss"]).backward()  # type: ignore[no-untyped-call]
    gradients = {"image": image.grad, "text": text.grad}
    gradients |= {name: parameter.grad for name, parameter in objective.named_parameters()}
    return {name: x.detach() for name, x in (scalars | gradients).items() if x is not None}


@pytest.mark.parametrize("rows", [1, 5, 36])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_blocks_of_rows_change_neither_loss_nor_gradient(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stepped(OBJECTIVES[name](), 10**9, monkeypatch)
    blocks = stepped(OBJECTIVES[name](), rows * PAIRS, monkeypatch)
    assert whole.keys() == blocks.keys() and len(whole) >= 5
    for key, value in whole.items():
        torch.testing.assert_close(blocks[key], value, rtol=1e-5, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_more_rows_than_a_block_exist_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            found = function(*args, **(kwargs or {}))
            for one in found if isinstance(found, tuple) else (found,):
                if isinstance(one, Tensor):
                    largest = max(largest, one.numel())
            return found

    with Watch():
        stepped(OBJECTIVES[name](), 4 * PAIRS, monkeypatch)
    assert largest <= max(4, 5) * PAIRS  # rows of similarities, or the features themselves


def test_evaluation_needs_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    image, text = output(torch.randn(PAIRS, 5, generator=draw)), output(torch.randn(PAIRS, 5, generator=draw))
    with torch.no_grad():
        whole = InfoNCE()(image, text, {}, Gather())
        monkeypatch.setattr(row_blocks, "BLOCK", 3 * PAIRS)
        blocks = InfoNCE()(image, text, {}, Gather())
    torch.testing.assert_close(blocks, whole)
