"""Files of a comparison: there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthesis.files import write_atomically
from synthesis.identity import json_sha256

_SEAL = "seal"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; what JSON does not know is written as text."""
    write_atomically(path, json.dumps(content, indent=1, default=str) + "\n")


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object with its own checksum, which `read_sealed` compares."""
    plain = json.loads(json.dumps(content, default=str))
    write_json(path, {**plain, _SEAL: json_sha256(plain)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote; nothing where there is no such file.

    Raises:
        ValueError: If it cannot be read or was changed; names it and the remedy.
    """
    if not path.exists():
        return {}
    remedy = "delete it, and its run is trained again"
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        seal = content.pop(_SEAL, None)  # files of earlier versions have none
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error}); {remedy}") from error
    if seal not in (None, json_sha256(content)):
        raise ValueError(f"{path} was changed after it was written; {remedy}")
    return content
