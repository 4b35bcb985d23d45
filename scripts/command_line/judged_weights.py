"""Which weights an evaluation judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.command_line.suggestions import class_named

UNTRAINED = "untrained"
"""`--ckpt_path=untrained`: judge the weights that the model is built with."""


def judged(subcommand: str, path: str | None, model: Any) -> str | None:
    """Return the checkpoint that an evaluation loads.

    Args:
        subcommand: `validate`, `test` or `predict`.
        path: Value of `--ckpt_path`.
        model: The model as parsed.

    Returns:
        The path; None where the weights that the model is built with are meant.

    Raises:
        ValueError: If nothing says which weights are meant: all or some of them would be random.
    """
    if path == UNTRAINED:
        return None
    if path is not None:
        return path
    arguments = _mapping(_mapping(model).get("init_args"))
    kind = class_named(str(_mapping(model).get("class_path")))
    if not trained_when_built(kind, arguments):
        given = [name for name in ("weights", "pretrained") if arguments.get(name)]
        but = f"; {given[0]}={arguments[given[0]]} is where training begins" if given else ""
        raise ValueError(
            f"{subcommand}: no --ckpt_path, so random weights would be judged{but}; give "
            f"--ckpt_path=runs/fit/checkpoints/best.ckpt, or --ckpt_path={UNTRAINED} if that is meant"
        )
    return None


def trained_when_built(kind: type | None, arguments: Mapping[str, Any]) -> bool:
    """Return whether a model needs no checkpoint to be judged.

    A class may say so itself, as `DualEncoder` and `ImageTask` do; else ``weights`` or ``pretrained`` say it.

    Args:
        kind: Class of the model.
        arguments: Its arguments as parsed.
    """
    said = getattr(kind, "trained_when_built", None)
    if said is not None:
        return bool(said(arguments))
    return bool(arguments.get("weights") or arguments.get("pretrained"))


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a part of a parsed configuration as a mapping."""
    if isinstance(value, Mapping):
        return value
    return vars(value) if hasattr(value, "__dict__") else {}
