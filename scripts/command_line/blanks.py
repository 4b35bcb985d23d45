"""Null and empty values where something has to stand: the parser lets null through for any type."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer

from scripts.command_line.suggestions import class_named
from scripts.command_line.type_names import type_named

_PATHS = {
    "artifacts_dir", "atlas", "cache_dir", "catalog", "directory", "image_root", "path", "pretrained",
    "prompts", "table", "weights",
}  # fmt: skip
"""Options that take a path: an empty one would be the working directory."""


def check_blanks(config: Namespace) -> None:
    """Refuse null and empty values of a parsed subcommand where they cannot be meant.

    Args:
        config: With ``trainer``, ``model`` and ``data``.

    Raises:
        ValueError: Naming the option, the value and what to give.
    """
    for name, owner in (("trainer", Trainer), ("model", None), ("data", None)):
        value = config.get(name)
        for key, wanted in _options(value, owner, name) if owner else _blanks(value, None, name):
            raise ValueError(f"{key}{wanted}")


def _blanks(value: Any, hint: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the options at or below a value that are null or empty, with what is wanted."""
    if value is None and hint is not None and not _takes_none(hint):
        yield key, f"=null: is not {type_named(hint)}; give one, or leave it out for the default"
    elif value == "" and key.rpartition(".")[2] in _PATHS:
        yield key, "='': is empty; give a path, or leave it out"
    elif isinstance(value, Namespace | Mapping):
        path = value.get("class_path")
        if isinstance(path, str):
            yield from _options(value.get("init_args"), class_named(path), f"{key}.init_args")
        else:
            yield from _options(value, _group(hint), key)
    elif isinstance(value, list) and any(dataclasses.is_dataclass(part) for part in _members(hint)):
        yield key, f"={value}: is a list; write a mapping {{name: value}} of the options, or leave it out"
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Namespace | Mapping):
                yield from _blanks(item, None, key)


def _options(values: Any, owner: type | None, key: str) -> Iterator[tuple[str, str]]:
    if owner is None or not isinstance(values, Namespace | Mapping):
        return
    hints = _hints(owner)
    for name, value in (vars(values) if isinstance(values, Namespace) else values).items():
        yield from _blanks(value, hints.get(name), f"{key}.{name}")


def _hints(owner: type) -> dict[str, Any]:
    """Return the types of the arguments of a class and those that it hands on to its bases.

    Arguments that are null by default are left out.
    """
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        try:
            hints = typing.get_type_hints(base.__init__)  # type: ignore[misc]
            parameters = inspect.signature(base).parameters
        except (NameError, TypeError, ValueError):
            continue
        for name, parameter in parameters.items():
            found[name] = hints.get(name) if parameter.default is not None else None
    return found


def _takes_none(hint: Any) -> bool:
    if hint in (Any, None, type(None)) or isinstance(hint, typing.TypeVar):
        return True
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return union and any(_takes_none(part) for part in typing.get_args(hint))


def _members(hint: Any) -> Sequence[Any]:
    """Return the members of a union, or the hint itself."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _group(hint: Any) -> type | None:
    """Return the dataclass that a hint asks for, if it does."""
    parts: Sequence[Any] = (hint, *typing.get_args(hint))
    return next((part for part in parts if inspect.isclass(part) and dataclasses.is_dataclass(part)), None)
