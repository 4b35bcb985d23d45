"""Rows of all ranks, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gather:
    """Collects the rows of one tensor from every rank; gradients flow back to the rank a row came from.

    The right use for an exact gradient: each rank compares its *local* rows with the *gathered* ones and
    averages over its local rows. Averaging the gradients over ranks, as DDP does, then gives the gradient
    of the one-process loss over all pairs; no factor of the world size is needed. The logits take
    ``batch × (ranks · batch)`` numbers a rank.

    Attributes:
        all_gather: Lightning's ``LightningModule.all_gather``; unused on a single process.
        rank: This process, ``0 … world_size - 1``.
        world_size: Number of processes.
    """

    all_gather: Callable[..., Any] | None = None
    rank: int = 0
    world_size: int = 1

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks, in the order of the ranks.

        Args:
            rows: ``(batch, …)``, of the same shape on every rank.

        Returns:
            ``(world_size · batch, …)``; the argument itself on a single process.
        """
        if self.world_size == 1 or self.all_gather is None:
            return rows
        gathered = self.all_gather(rows, sync_grads=True)
        if gathered.requires_grad:  # gloo sends a gradient's memory as it lies, whatever its strides
            gathered.register_hook(Tensor.contiguous)
        return gathered.flatten(0, 1)

    def padded(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks where ranks differ in the second dimension; zeros fill it up.

        Args:
            rows: ``(batch, length, …)``, alike on every rank but for the length.

        Returns:
            ``(world_size · batch, longest, …)``; the argument itself on a single process.
        """
        if self.world_size == 1 or self.all_gather is None:
            return rows
        length = torch.tensor([rows.shape[1]], device=rows.device)
        longest = int(self.all_gather(length).max())
        padding = rows.new_zeros(rows.shape[0], longest - rows.shape[1], *rows.shape[2:])
        return self(torch.cat([rows, padding], dim=1))

    def own(self, rows: Tensor) -> Tensor:
        """Return where the local rows stand among the gathered ones: ``(batch,)`` int64.

        Args:
            rows: A local tensor, ``(batch, …)``.
        """
        return torch.arange(len(rows), device=rows.device) + self.rank * len(rows)
