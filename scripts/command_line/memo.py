"""What makes two calls of a class's parser the same, so that the second needs no parsing.

jsonargparse reads a nested class several times: with and without defaults, for each layer, once more at every
level above it, and to write it down. That was most of the time between a command and its first step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable
from contextvars import ContextVar, copy_context
from enum import Enum
from pathlib import PurePath
from typing import Any

from jsonargparse import Namespace

# Of jsonargparse's context, what does not bear on how the parser of one class reads its arguments. Everything
# else does: a variable of a later version, unknown here, can make calls differ, never agree.
_WITHOUT_BEARING = {
    "parent_parser",  # set anew by the parser that is called
    "subclass_arg_parser",  # the parser of the command line, as
    "_suppressed_required_actions",
    "previous_config",  # what a layer is merged with, as
    "config_load_stack",
    "_current_path_dir",  # where a file is looked for: a call that names one has no key
    "dump_kwargs",  # an argument of the call
}
_CONTEXT = {
    variable
    for name, module in list(sys.modules.items())
    if name.partition(".")[0] == "jsonargparse"
    for variable in vars(module).values()
    if isinstance(variable, ContextVar)
}


class _OwnIdentityError(Exception):
    """A value of which two that look alike may differ."""


def memo_key(*parts: Any) -> Hashable:
    """Return a key that two calls share only if they must give the same.

    Args:
        parts: The arguments of the call.

    Returns:
        The key, of the arguments and of the context they are read in; None if there is none, because an
        argument is an object with an identity of its own or names a file, whose content may change.
    """
    context = {variable.name: value for variable, value in copy_context().items() if variable in _CONTEXT}
    bearing = {name: context[name] for name in sorted(context.keys() - _WITHOUT_BEARING)}
    try:
        return _frozen((bearing, parts), context.get("_current_path_dir") or "")
    except _OwnIdentityError:
        return None


def _frozen(value: Any, folder: str) -> Hashable:
    """Return what stands for a value; equal only for values that are alike in type, order and content."""
    kind = type(value)
    if kind is str:
        if value and os.path.exists(os.path.join(folder, os.path.expanduser(value))):
            raise _OwnIdentityError
        return str(value)
    if value is None or isinstance(value, bool | int | Enum | PurePath | type):
        return kind, value
    if kind is float:
        return kind, repr(value)  # 0.0 equals -0.0
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return kind, *((_frozen(key, folder), _frozen(item, folder)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return kind, *(_frozen(item, folder) for item in value)
    raise _OwnIdentityError
