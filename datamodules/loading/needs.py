"""What models and evaluations need of batches, held against what the data can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datamodules.batch import NeedsKeys


class UnmetNeedError(ValueError):
    """Something needs batches to hold what this data cannot give; the message says who, what and why."""


def askers(trainer: Any, split: str) -> dict[str, frozenset[str]]:
    """Return who needs which batch keys of a split: the trainer's model, and at evaluation its callbacks.

    Args:
        trainer: The running trainer; None for nobody.
        split: "train", "val" or "test".
    """
    found: dict[str, frozenset[str]] = {}
    module = getattr(trainer, "lightning_module", None)
    if isinstance(module, NeedsKeys):
        found[type(module).__name__] = module.needs(split)
    if split != "train":
        for callback in getattr(trainer, "callbacks", ()):
            name = type(callback).__name__
            found[name] = found.get(name, frozenset()) | getattr(callback, "needs", frozenset())
    return found


def require(
    split: str,
    needs: Mapping[str, frozenset[str]],
    supplied: frozenset[str],
    lacking: Mapping[str, str],
    supplier: str,
) -> None:
    """Make sure that batches of a split can hold what is needed.

    Args:
        split: "train", "val" or "test".
        needs: Who needs which keys.
        supplied: Keys that the batches can hold.
        lacking: Key → why they cannot hold it.
        supplier: Name of the data module.

    Raises:
        UnmetNeedError: If they cannot.
    """
    for asker, keys in needs.items():
        for key in sorted(keys):
            if key in lacking or key not in supplied:
                reason = lacking.get(key, f"{supplier} has none")
                raise UnmetNeedError(f"{asker} needs {key!r} in the batches of {split!r}, but {reason}.")
