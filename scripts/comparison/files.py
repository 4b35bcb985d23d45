"""Files of a comparison: there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthesis.files import write_atomically


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; what JSON does not know is written as text."""
    write_atomically(path, json.dumps(content, indent=1, default=str) + "\n")
