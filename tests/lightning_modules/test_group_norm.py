"""Group normalisation: PyTorch's own, by another way to its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.group_norm import GroupNorm


def drawn(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + 0.7
    return maps.to(dtype).contiguous(memory_format=torch.channels_last)


def gradients(norm: nn.GroupNorm, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    found = norm(maps).relu_()
    weights = torch.linspace(-1, 2, found.numel(), dtype=found.dtype).view_as(found)
    return found, list(torch.autograd.grad((found * weights).sum(), [maps, *norm.parameters()]))


@pytest.mark.parametrize(
    ("shape", "groups", "dtype", "tolerance"),
    [
        ((3, 8, 5, 4), 4, torch.float32, 1e-5),
        ((2, 6, 2, 3), 6, torch.float32, 1e-5),
        ((2, 12, 9, 9), 1, torch.float64, 1e-12),
        ((4, 16, 9, 9), 4, torch.bfloat16, 1e-2),
    ],
)
def test_output_is_pytorch_s_and_the_gradient_the_exact_one(
    shape: tuple[int, ...], groups: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    ours, plain = GroupNorm(groups, shape[1]), nn.GroupNorm(groups, shape[1])
    nn.init.uniform_(ours.weight, 0.5, 2)
    nn.init.uniform_(ours.bias)
    if dtype == torch.float64:
        ours, plain = ours.double(), plain.double()
    plain.load_state_dict(ours.state_dict())
    maps = drawn(shape, dtype)
    found, its = gradients(ours, maps)
    assert torch.equal(found, plain(maps).relu())
    _, exact = gradients(plain.double(), maps.double())
    for own, right in zip(its, exact, strict=True):
        assert (own.double() - right).norm() <= tolerance * max(right.norm(), 1)


def test_other_layouts_and_evaluation_take_pytorch_s_way() -> None:
    norm, maps = GroupNorm(2, 4), torch.randn(2, 4, 3, 3)
    assert norm(maps).grad_fn.name() == "NativeGroupNormBackward0"
    with torch.no_grad():
        assert not norm(drawn((2, 4, 3, 3), torch.float32)).requires_grad
