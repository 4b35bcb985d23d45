"""The two parts of a projection: `transformers` keeps its last layer outside the tower."""

from __future__ import annotations

from torch import Tensor, nn


def hidden_part(projection: nn.Module) -> nn.Module:
    """Return what comes before the last layer of a tower's projection; nothing before a linear one."""
    return projection[:-1] if isinstance(projection, nn.Sequential) else nn.Identity()


def last_layer(projection: nn.Module) -> nn.Linear:
    """Return the last layer of a tower's projection, without a bias: ``(projection, hidden)``."""
    last = projection[-1] if isinstance(projection, nn.Sequential) else projection
    assert isinstance(last, nn.Linear)
    return last


def last_weight(projection: nn.Module) -> Tensor:
    """Return the weight of the last layer of a tower's projection, ``(projection, hidden)``."""
    return last_layer(projection).weight


def hidden_width(projection: nn.Module) -> int | None:
    """Return the width between the two layers of a tower's projection; None for a linear one."""
    return last_layer(projection).in_features if isinstance(projection, nn.Sequential) else None


def whole_projection(hidden: nn.Module, last: Tensor) -> nn.Module:
    """Put a projection together again: the inverse of `hidden_part` and `last_weight`."""
    layer = nn.Linear(last.shape[1], last.shape[0], bias=False)
    layer.weight.data.copy_(last)
    return nn.Sequential(*hidden, layer) if isinstance(hidden, nn.Sequential) else layer
