"""Means over the rows of large similarity matrices, of which only a few rows exist at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**21
"""Similarities computed at once, at most (8 MiB in float32); at least one row."""

RowLosses = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
"""Turns some rows of similarities, ``(rows, keys)``, and where they stand into their losses and something to
log, ``(rows,)`` each."""

Similarity = Callable[..., Tensor]
"""Turns queries ``(rows, dim)``, keys ``(keys, dim)`` and parameters into similarities, ``(rows, keys)``."""


def mean_over_rows(
    similarity: Similarity,
    queries: Tensor,
    keys: Tensor,
    parameters: Sequence[Tensor],
    losses: RowLosses,
    block: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the rows of a similarity matrix, and the mean of what is logged.

    Where the matrix has more than `BLOCK` numbers it is computed block by block of rows, and the gradient of
    each block with it, so that memory grows with the rows and not with their square. The matrix products are
    those of the plain loss. Related: GradCache (Gao et al. 2021, arXiv 2101.06983), which cuts the batch of
    an encoder so; inf-CL (Cheng et al. 2024, arXiv 2410.17243), which cuts both sides on a GPU.

    Args:
        similarity: Compares queries with keys.
        queries: One a row, ``(rows, dim)``.
        keys: One a column, ``(keys, dim)``.
        parameters: Further tensors that similarities depend on, such as a scale.
        losses: The loss of each row.
        block: Similarities at once; `BLOCK` by default.

    Returns:
        Two scalars. The second carries no gradient if the matrix is cut.
    """
    step = max(1, (block or BLOCK) // max(1, len(keys)))
    if step >= len(queries):
        found, logged = losses(similarity(queries, keys, *parameters), slice(0, len(queries)))
        return found.mean(), logged.float().mean()
    rows = [slice(start, min(start + step, len(queries))) for start in range(0, len(queries), step)]
    if not torch.is_grad_enabled():
        each = [losses(similarity(queries[part], keys, *parameters), part) for part in rows]
        means = (torch.cat(some).float().mean() for some in zip(*each, strict=True))
        return next(means), next(means)
    loss, logged = _BlockedMean.apply(similarity, losses, rows, queries, keys, *parameters)
    return loss, logged


class _BlockedMean(torch.autograd.Function):
    """The mean loss, whose gradient is computed with it: nothing of the matrix has to be kept for later."""

    @staticmethod
    def forward(
        ctx: Any, similarity: Similarity, losses: RowLosses, rows: list[slice], *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        queries, needed = inputs[0], ctx.needs_input_grad[3:]
        gradients = [torch.zeros_like(x) if need else None for x, need in zip(inputs, needed, strict=True)]
        total, logged = queries.new_zeros(()), queries.new_zeros(())
        for part in rows:
            parts = (queries[part], *inputs[1:])
            leaves = [x.detach().requires_grad_(need) for x, need in zip(parts, needed, strict=True)]
            with torch.enable_grad():
                found, told = losses(similarity(*leaves), part)
                loss = found.sum() / len(queries)
            total += loss.detach()
            logged += told.detach().float().sum() / len(queries)
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            found_gradients = iter(torch.autograd.grad(loss, wanted))
            for place, gradient in enumerate(gradients):
                if gradient is not None:
                    (gradient[part] if place == 0 else gradient).add_(next(found_gradients))
        ctx.gradients = gradients
        ctx.mark_non_differentiable(logged)
        return total, logged

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None if gradient is None else gradient * weight for gradient in ctx.gradients]
        return None, None, None, *gradients
