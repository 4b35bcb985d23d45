"""A directory with a trained generator: what it says of itself, and which weights it holds."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from synthesis.files import file_sha256
from synthesis.model_files import check_directory

SETTINGS = "generator.json"


class ModelDirectory:
    """A trained generator on disk.

    Args:
        path: The directory.
        marker: A file that a directory of the kind wanted holds.

    Raises:
        FileNotFoundError: If it holds no such file. Nothing is ever fetched.
        ValueError: If it holds code, or weights that are broken, see `synthesis.model_files`.
    """

    def __init__(self, path: str | Path, marker: str = SETTINGS) -> None:
        self.path = Path(path).expanduser()
        if not (self.path / marker).is_file():
            there = "holds no" if self.path.is_dir() else "is no directory with a"
            raise FileNotFoundError(
                f"image maker: {self.path} {there} {marker}; give the `export` directory of a run of "
                "configs/generator/….yaml, or for the diffusion maker any pipeline that diffusers has saved"
            )
        check_directory(self.path, ["weights"], argument="directory")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What our own export says: kind, section, sizes. Empty for directories of others."""
        path = self.path / SETTINGS
        found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        return found

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the names and contents of all files."""
        digest = hashlib.sha256()
        for path in sorted(path for path in self.path.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(self.path).as_posix()} {file_sha256(path)}\n".encode())
        return digest.hexdigest()

    def require_kind(self, kind: str) -> None:
        """Raise a ValueError unless the settings name this kind of generator."""
        found = self.settings.get("kind")
        if found != kind:
            raise ValueError(
                f"{self.path / SETTINGS} says kind {found!r}, this image maker draws {kind!r}: choose "
                f"synthesis.images.{found}, or another directory"
            )
