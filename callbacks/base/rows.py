"""Rows of an evaluation pass: columns of tensors or lists, one entry a sample."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from datamodules.batch import INDEX

Shard = TypeVar("Shard")

Rows = dict[str, Any]
"""Column name → Tensor ``(rows, ...)`` or a list of anything that can be pickled."""


def to_cpu(value: Tensor | list[Any]) -> Tensor | list[Any]:
    """Return a tensor detached on the CPU, floats as float32; a list as it is."""
    if not isinstance(value, Tensor):
        return list(value)
    value = value.detach().cpu()
    return value.float() if value.is_floating_point() else value


def check_rows(rows: Rows) -> None:
    """Make sure that every sample has a number and a row in every column.

    Raises:
        ValueError: If not.
    """
    if "index" not in rows:
        raise ValueError(
            f"the batch has no {INDEX!r}: samples cannot be told apart, so duplicates from uneven ranks "
            "cannot be dropped; have the data put it in every batch"
        )
    sizes = {name: len(value) for name, value in rows.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"rows of one batch differ in number: {sizes}")


def concatenate(parts: list[Rows]) -> Rows:
    """Put the rows of several batches, or ranks, under each other.

    Raises:
        ValueError: If some have columns that others have not.
    """
    if not parts:
        return {}
    columns = [set(part) for part in parts]
    if any(other != columns[0] for other in columns):
        varying = sorted(columns[0].union(*columns) - columns[0].intersection(*columns))
        raise ValueError(f"{varying} stand in some batches of an evaluation set and not in others")
    return {name: _join([part[name] for part in parts]) for name in parts[0]}


def _join(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return [text for part in values for text in part]


def gathered(shard: Shard) -> list[Shard]:
    """Return the shards of every rank, in order. Collective.

    Args:
        shard: What this rank has; anything that can be pickled.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [shard]
    # Pickled objects, because shards differ in length and hold text; a few tens of MB at most.
    shards: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shards, shard)
    return shards
