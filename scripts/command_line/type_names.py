"""Types in plain words, and those that an option of a class asks for."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any

from scripts.command_line.suggestions import class_named

PLAIN = {
    "int": "a whole number", "float": "a finite number", "bool": "true or false", "str": "text",
    "NoneType": "null", "list": "a list", "Sequence": "a list", "Iterable": "a list", "tuple": "a list",
    "dict": "a mapping", "Mapping": "a mapping", "Path": "a path", "timedelta": "a time such as 00:10:00",
}  # fmt: skip


def type_named(hint: Any) -> str:
    """Return a type in plain words, such as: a whole number."""
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_named(part) for part in typing.get_args(hint)))
    name = getattr(origin, "__name__", str(origin))
    return PLAIN.get(name, f"a {name}")


def class_in_words(path: str) -> str:
    """Return in plain words what the class of a dotted path is."""
    name = path.rpartition(".")[2]
    if dataclasses.is_dataclass(class_named(path)):
        return f"a mapping of the options of {name}"
    return PLAIN.get(name, f"a {name}")


def option_names(owner: str) -> list[str]:
    """Return the dotted options of a class, those of its groups of options too."""
    from scripts.command_line.options import parser_of

    found = class_named(owner)
    return [] if found is None else [key for key in parser_of(found).get_defaults().keys()]


def base_of(owner: str, key: str) -> type | None:
    """Return the class or protocol that an option of a class asks for."""
    if not owner:
        from lightning.pytorch import Callback, LightningDataModule, LightningModule
        from lightning.pytorch.loggers import Logger

        bases: dict[str, type] = {
            "model": LightningModule, "data": LightningDataModule, "trainer.callbacks": Callback,
            "trainer.logger": Logger,
        }  # fmt: skip
        return bases.get(key.removesuffix(".init_args"))
    found = class_named(owner)
    name = key.removesuffix(".init_args").rpartition(".")[2]
    if found is None:
        return None
    try:
        hint = typing.get_type_hints(found.__init__).get(name)  # type: ignore[misc]
    except (NameError, TypeError):
        return None
    for part in (hint, *typing.get_args(hint)):
        if inspect.isclass(part) and part.__module__.partition(".")[0] not in (
            "builtins",
            "collections",
            "pathlib",
        ):
            return part
    return None
