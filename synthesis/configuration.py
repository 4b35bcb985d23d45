"""Where the configuration lies that is shipped with the code, in a checkout or in an installed package."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_INSTALLED = Path(__file__).with_name("shipped")  # setup.py copies it there when a wheel is built
ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1]
FOLDERS = ("configs", "results")
"""Paths that begin with one of these are looked up among what is shipped."""


def shipped(path: str | Path) -> Path:
    """Return where a shipped file or folder lies: `shipped("configs/pretrain.yaml")`."""
    return ROOT / path


def located(path: str | Path) -> Path:
    """Return the user's own file of that name if there is one, and otherwise the shipped one.

    Args:
        path: Absolute, or relative to the working directory and to what is shipped.

    Raises:
        FileNotFoundError: If it is in neither place; the message names both.
    """
    for candidate in (Path(path), shipped(path)):
        if candidate.exists():
            return candidate
    places = dict.fromkeys((Path.cwd(), ROOT))
    raise FileNotFoundError(f"{path}: no such file in {' nor in '.join(map(str, places))}; correct the path.")


def located_layers(args: Sequence[str]) -> list[str]:
    """Return command-line arguments in which the path after each `-c` or `--config` is located.

    Raises:
        FileNotFoundError: If a YAML file is in neither place.
    """
    found: list[str] = []
    for before, word in zip(["", *args], args, strict=False):
        option, equals, value = word.partition("=")
        if before in ("-c", "--config"):
            found.append(_located_layer(word))
        elif option in ("-c", "--config") and equals:
            found.append(f"{option}={_located_layer(value)}")
        else:
            found.append(word)
    return found


def located_values(value: Any) -> Any:
    """Return a parsed configuration with every path in it that begins with one of `FOLDERS` located.

    Other paths, and folders that are in neither place, stay: a run may be going to write them.

    Raises:
        FileNotFoundError: If a YAML file is in neither place.
    """
    if isinstance(value, Namespace):
        return type(value)(**{key: located_values(entry) for key, entry in vars(value).items()})
    if isinstance(value, dict):
        return {key: located_values(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [located_values(entry) for entry in value]
    if not isinstance(value, str) or value.partition("/")[0] not in FOLDERS:
        return value
    return str(located(value)) if value.endswith(".yaml") or shipped(value).exists() else value


def _located_layer(path: str) -> str:
    """Locate a layer; what is no path of a YAML file, such as `-` or inline YAML, stays."""
    return str(located(path)) if path.endswith((".yaml", ".yml")) else path
