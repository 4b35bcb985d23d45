"""What a checkpoint holds beside weights, and what is checked before its weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
        ValueError: If names or shapes differ; it names the first ones and the remedy.
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
    raise ValueError(
        f"checkpoint of another architecture: {len(reshaped)} tensors have another shape, {len(missing)} "
        f"stand only in the model as configured, {len(surplus)} only in the checkpoint; the first:\n  "
        + "\n  ".join(shown)
        + "\nBuild the model as it was trained: with the config.yaml of its run (`-c <run>/config.yaml`), or "
        "with the same `-c configs/model/….yaml` and model arguments."
    )
