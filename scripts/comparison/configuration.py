"""Layers as a command line, and values in resolved configurations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.comparison.definition import Layers


def words(layers: Layers) -> tuple[str, ...]:
    """Return layers as arguments after a subcommand: ``-c FILE …``, then ``--key=value …``."""
    files = (word for file in layers.files for word in ("-c", file))
    return (*files, *(f"--{key}={as_word(value)}" for key, value in layers.overrides.items()))


def as_word(value: Any) -> str:
    """Return a value as YAML reads it back from a command line."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | Mapping | list) or value is None else str(value)


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """Return the value under a key with dots; None where there is none."""
    found: Any = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def check_equal(configs: Mapping[str, Mapping[str, Any]], keys: Sequence[str], where: str) -> None:
    """Refuse arms that differ in what must be equal.

    Args:
        configs: Resolved configuration by name of the arm.
        keys: Keys with dots.
        where: The file that asks for it.

    Raises:
        ValueError: Naming file, key, arms and values; also if no arm has the key.
    """
    for key in keys:
        group, _, name = key.rpartition(".")
        if configs and not any(name in (value_at(config, group) or {}) for config in configs.values()):
            raise ValueError(f"{where}, key equal: no arm has a value {key!r}; correct the name")
        values = {arm: value_at(config, key) for arm, config in configs.items()}
        if len({str(value) for value in values.values()}) > 1:
            raise ValueError(
                f"{where}, key equal: the arms differ in {key}: {values}. Take it out of their layers, or "
                "out of `equal` if it may differ"
            )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys with dots under which two configurations differ, with both values."""
    one, other = dict(_flat(before)), dict(_flat(after))
    keys = dict.fromkeys([*one, *other])
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def sha256(content: Any) -> str:
    """Return the SHA-256 of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
