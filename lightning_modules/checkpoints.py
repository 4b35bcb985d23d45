"""How checkpoints are read, what they hold beside weights, and what is checked before these are loaded."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_modules.sealed_archive import check_archive, seal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ArchitectureError(ValueError):
    """The tensors of a checkpoint are not those of the model."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read. The message names the file, the reason and the remedy.

    Attributes:
        reason: The reason alone.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.reason = reason
        folder = Path(path).parent
        beside = [] if "://" in str(path) else sorted(file.name for file in folder.glob("*.ckpt"))
        others = [name for name in beside if name != Path(path).name]
        remedy = (
            f"Give one that lies beside it: {', '.join(others)}."
            if others
            else "Give the best.ckpt or last.ckpt of a run."
        )
        super().__init__(f"{path} cannot be read as a checkpoint: {reason}. {remedy}")


def read_checkpoint(
    path: str | Path, map_location: Callable[..., Any] | torch.device | str | None = "cpu", mmap: bool = False
) -> dict[str, Any]:
    """Read a checkpoint. Nothing that it holds is executed, and a damaged one is refused.

    The one place where Lightning's files are read. Only tensors and plain values are unpickled
    (``weights_only=True``). A checkpoint that this project wrote ends in its SHA-256, so that any byte that
    has changed is noticed; of others the checksums of the archive are compared.

    Args:
        path: A local file. Addresses (``https://…``) are refused: download the file first.
        map_location: Where tensors go, as in `torch.load`.
        mmap: Leave tensors on disk until they are used.

    Raises:
        CheckpointError: If there is no such file, it is damaged, or it holds something else.
    """
    if "://" in str(path):
        raise CheckpointError(path, "nothing is loaded from a network; download it and give the file")
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(path, "no such file" if not path.exists() else "not a file")
    try:
        check_archive(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(path, str(error)) from error
    try:
        found = torch.load(path, map_location=map_location, mmap=mmap, weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler stumbles over
        reason = "it holds more than tensors and plain values, which is not loaded, because it could run code"
        raise CheckpointError(path, f"{reason} ({type(error).__name__})") from error
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), Mapping):
        raise CheckpointError(path, "it holds no state_dict, which Lightning's checkpoints do")
    return found


def load_model(path: str | Path, map_location: torch.device | str = "cpu") -> LightningModule:
    """Build the model that a checkpoint of the command line holds, with its weights.

    Args:
        path: The file, see `read_checkpoint`.
        map_location: Where the model goes.

    Raises:
        CheckpointError: If it cannot be read, or does not say which model it holds.
    """
    if "_class_path" not in read_checkpoint(path, mmap=True).get("hyper_parameters", {}):
        raise CheckpointError(path, "it does not say which model it holds, as those of `synvlp fit` do")
    return LightningModule.load_from_checkpoint(path, map_location=map_location, weights_only=True)


def checkpoint_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Return a checkpoint as the content of a file, which ends in its SHA-256.

    Any program that reads files of `torch.save` reads it: the digest is the comment of the ZIP archive.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return seal(buffer.getvalue())


def tokenizer_to_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """Write a fast tokenizer as JSON, which a checkpoint can hold and ``torch.load(weights_only=True)`` read.

    Args:
        tokenizer: Any tokenizer backed by the `tokenizers` library.

    Raises:
        TypeError: If it is not.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TypeError(f"{type(tokenizer).__name__} cannot be stored in a checkpoint: use its fast variant")
    state = json.loads(backend.to_str())
    state["padding"] = state["truncation"] = None  # left behind by the last call, no part of the tokenizer
    special = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    settings = {"model_max_length": tokenizer.model_max_length, "padding_side": tokenizer.padding_side}
    return json.dumps({"tokenizer": state, "settings": settings | special})


def restore_tokenizer(
    stored: str | None, own: PreTrainedTokenizerBase | None
) -> PreTrainedTokenizerBase | None:
    """Read a checkpoint's tokenizer, or make sure that the model has the same already.

    Args:
        stored: What `tokenizer_to_text` wrote; None if the checkpoint has none.
        own: The tokenizer the model has from its datamodule; None if it has none.

    Returns:
        The tokenizer to use.

    Raises:
        ValueError: If both are there and would turn a text into different numbers.
    """
    if stored is None:
        return own
    if own is None:
        from transformers import PreTrainedTokenizerFast

        state = json.loads(stored)
        with TemporaryDirectory() as directory:
            file = Path(directory, "tokenizer.json")
            file.write_text(json.dumps(state["tokenizer"]))
            return PreTrainedTokenizerFast(tokenizer_file=str(file), **state["settings"])
    if json.loads(tokenizer_to_text(own))["tokenizer"] != json.loads(stored)["tokenizer"]:
        raise ValueError(
            "the data's tokenizer is not the one this checkpoint was trained with, so its numbers mean other "
            "words: give the data the tokenizer directory of that run, or the same corpus settings"
        )
    return own


def require_same_architecture(model: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint whose tensors are not the model's, before torch prints a page about it.

    Args:
        model: State of the model as built.
        saved: State in the checkpoint.

    Raises:
        ArchitectureError: If names or shapes differ; it names the first ones and the remedy.
    """
    reshaped = [key for key in model if key in saved and model[key].shape != saved[key].shape]
    missing = [key for key in model if key not in saved]
    surplus = [key for key in saved if key not in model]
    if not (reshaped or missing or surplus):
        return
    shown = [
        f"{k}: {list(saved[k].shape)} in the checkpoint, {list(model[k].shape)} here" for k in reshaped[:3]
    ]
    shown += [f"{key}: only here" for key in missing[:3]]
    shown += [f"{key}: only in the checkpoint" for key in surplus[:3]]
    raise ArchitectureError(
        f"checkpoint of another architecture: {len(reshaped)} tensors have another shape, {len(missing)} "
        f"stand only in the model as configured, {len(surplus)} only in the checkpoint; the first:\n  "
        + "\n  ".join(shown)
        + "\nBuild the model as it was trained: with the config.yaml of its run (`-c <run>/config.yaml`), or "
        "with the same `-c configs/model/….yaml` and model arguments."
    )
