"""The names of a configuration's layers, by which runs are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def layer_names(files: Sequence[Path]) -> list[str]:
    """Return what a run is made of: ``["pretrain", "recipes/short"]`` for those files of ``configs/``.

    The saved configuration of a run is no layer: its own layers stand in it.

    Args:
        files: The YAML files that a command line names.
    """
    return [_name(path.with_suffix("")) for path in files if path.name != "config.yaml"]


def _name(path: Path) -> str:
    parts = path.parts
    below = len(parts) - 1 - parts[::-1].index("configs") if "configs" in parts else len(parts) - 2
    return "/".join(parts[below + 1 :])
