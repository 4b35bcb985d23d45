"""What a pair was made by, as a JSON-able dict: name, version and settings of each part, never its source.

A part is a sampler, a report writer, an image maker, a filter, a synthesizer, or something that one of these
is given. Its class declares ``version: int`` beside ``describe``, and raises it whenever the same settings
give other results, also where the cause is code that it shares with others (seeding, drawing, reading). A
moved file, a new docstring or a faster way to the same result changes nothing: what was stored stays valid.
`scripts/golden_pairs.py` writes down what each version makes, and a test compares.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any, Protocol

_OURS = ("synthesis", "lightning_modules")
"""Folders whose parts declare a version, and have names of their own."""


class Describable(Protocol):
    """Says what its results depend on."""

    def describe(self) -> dict[str, Any]:
        """Return the settings and the hashes of the files that the results depend on, JSON-able."""
        ...


def identity(part: Describable) -> dict[str, Any]:
    """Return everything that the results of a part depend on: equal identities, equal results.

    Args:
        part: The part. One from outside this project is named with its module. Where such a class declares
            no ``version``, the SHA-256 of its source file stands for it: any edit then makes another
            identity, and nothing stale is ever read.

    Returns:
        ``name``, ``version`` (that of each class it inherits from, most general first, e.g. "1.2") and what
        `describe` returns.

    Raises:
        TypeError: If the class has neither a version nor a source file, or its version is no number.
    """
    return {"name": _name(type(part)), "version": _version(type(part)), **part.describe()}


def json_sha256(content: Any) -> str:
    """SHA-256 of a JSON-able value, the same for any order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _OURS


def _name(kind: type) -> str:
    return kind.__qualname__ if _is_ours(kind) else f"{kind.__module__}.{kind.__qualname__}"


def _version(kind: type) -> str:
    versions = []
    for base in reversed(kind.__mro__):
        if "version" in vars(base):
            versions.append(_declared(base))
        elif hasattr(base, "describe") and not _is_ours(base):
            versions.append(_source_sha256(base))
    return ".".join(versions or [_source_sha256(kind)])


def _declared(kind: type) -> str:
    version = vars(kind)["version"]
    if not isinstance(version, int) or version < 1:
        raise TypeError(f"{_name(kind)}.version={version!r}: give a whole number from 1 on.")
    return str(version)


def _source_sha256(kind: type) -> str:
    try:
        path = inspect.getsourcefile(kind)
        content = Path(path).read_bytes() if path else b""
    except (OSError, TypeError):
        content = b""
    if not content:
        raise TypeError(
            f"{_name(kind)} declares no version, and its source cannot be read to tell one state of it from "
            f"another: add `version: int = 1` to the class, and raise it whenever its results change."
        )
    return hashlib.sha256(content).hexdigest()[:16]
