"""Rows of an evaluation pass: columns of tensors or lists, one entry a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from datamodules.batch import INDEX

Shard = TypeVar("Shard")

Rows = dict[str, Any]
"""Column name → Tensor ``(rows, ...)`` or a list of anything that can be pickled."""

_BLOCK = 4096  # rows of a message


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
    """Put the rows of several batches under each other.

    Raises:
        ValueError: If some have columns that others have not.
    """
    return {name: _join([part[name] for part in parts]) for name in _same_columns(parts)}


def _same_columns(parts: Sequence[Rows]) -> list[str]:
    columns = [set(part) for part in parts]
    if any(other != columns[0] for other in columns):
        varying = sorted(columns[0].union(*columns) - columns[0].intersection(*columns))
        raise ValueError(f"{varying} stand in some batches of an evaluation set and not in others")
    return list(parts[0]) if parts else []


def _join(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return [text for part in values for text in part]


def gathered(shard: Shard) -> list[Shard]:
    """Return the shards of every rank, in order. Collective.

    Args:
        shard: What this rank has; anything that can be pickled, and small: every rank gets all of it.
    """
    if not _several():
        return [shard]
    shards: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shards, shard)
    return shards


def on_rank_zero(shard: Rows) -> Rows | None:
    """Put the rows of all ranks under each other on rank zero. Collective.

    They travel a column and a block of rows at a time, so that rank zero holds the whole set once and one
    column twice, and the others nothing more than they had.

    Args:
        shard: What this rank has; no columns where it has no rows. It is emptied.

    Returns:
        All rows, those of rank zero first; None on the other ranks.

    Raises:
        ValueError: On every rank, if some have columns that others have not.
    """
    if not _several():
        return shard
    told = gathered((list(shard), len(next(iter(shard.values()), ()))))
    names = _same_columns([dict.fromkeys(columns) for columns, _ in told if columns])
    zero, longest = torch.distributed.get_rank() == 0, max(length for _, length in told)
    rows: Rows = {}
    for name in names:
        parts = _column_on_zero(shard.pop(name, None), longest, len(told))
        if zero:
            rows[name] = _join(parts)
    return rows if zero else None


def _column_on_zero(column: Any, longest: int, ranks: int) -> list[Any]:
    """Return the parts of a column of every rank, in order, on rank zero; nothing elsewhere."""
    zero = torch.distributed.get_rank() == 0
    found: list[list[Any]] = [[] for _ in range(ranks)]
    for start in range(0, longest, _BLOCK):
        part = None if column is None else column[start : start + _BLOCK]
        if isinstance(part, Tensor):
            part = part.clone()  # a pickled view would bring all of its column along
        # Pickled, because shards differ in length and some columns hold text.
        parts: list[Any] | None = [None] * ranks if zero else None
        torch.distributed.gather_object(part, parts)
        for rank, got in enumerate(parts or []):
            if got is not None:
                found[rank].append(got)
    return [part for parts in found for part in parts]


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
