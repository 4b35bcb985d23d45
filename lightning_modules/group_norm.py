"""Group normalisation with a faster gradient on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm`, whose gradient for maps in channels-last order is a few passes over the maps.

    PyTorch's kernel for it takes four times as long in bfloat16 (torch 2.13, 32 × 32 pixels of 32 channels).
    The output is PyTorch's to the bit; the gradient is the same up to the rounding of its type.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(batch, channel, height, width)``."""
        plain = torch.compiler.is_compiling() or not torch.is_grad_enabled() or input.device.type != "cpu"
        if plain or not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        found: Tensor = _GroupNorm.apply(input, self.weight, self.bias, self.num_groups, self.eps)
        return found


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        batch, channels, height, width = x.shape
        sizes = (batch, channels, height * width, groups)
        found, mean, rstd = torch.native_group_norm(x, weight, bias, *sizes, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.groups = groups
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rstd = ctx.saved_tensors
        each = x.shape[1] // ctx.groups
        numbers = each * x.shape[2] * x.shape[3]
        exact = torch.promote_types(x.dtype, torch.float32)
        mean, rstd = mean.to(exact), rstd.to(exact)
        maps, above = (_last(maps) for maps in (x, gradient))
        total = above.sum(1, dtype=exact)  # (batch, channel)
        product = (above * maps).sum(1, dtype=exact)

        def wide(groups: Tensor) -> Tensor:
            return groups.repeat_interleave(each, 1)

        def of_groups(channels: Tensor) -> Tensor:
            return (weight * channels).unflatten(1, (ctx.groups, each)).sum(2)

        # gradient = rstd · weight · above + slope · x + offset: see PyTorch's group_norm_backward.
        slope = (of_groups(total) * mean - of_groups(product)) * rstd**3 / numbers
        offset = -slope * mean - of_groups(total) * rstd / numbers
        a, b, c = (one[:, None].to(x.dtype) for one in (wide(rstd) * weight, wide(slope), wide(offset)))
        found = torch.addcmul(c, maps, b).addcmul_(above, a).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        by_weight = ((product - wide(mean) * total) * wide(rstd)).sum(0)
        return found, by_weight.to(weight.dtype), total.sum(0).to(weight.dtype), None, None


def _last(maps: Tensor) -> Tensor:
    """Return maps as ``(batch, pixel, channel)``, without a copy where they lie so."""
    return maps.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).flatten(1, 2)
