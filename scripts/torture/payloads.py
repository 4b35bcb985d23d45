"""Files that an attacker would hand over. What they try is harmless: to write a file, the canary."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch

CODE = "import pathlib\npathlib.Path({canary!r}).touch()\n"


class Payload:
    """Runs a command when it is unpickled.

    Args:
        canary: The file that the command writes.
    """

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def checkpoint(path: Path, canary: Path, form: str = "zip") -> Path:
    """Write a checkpoint of Lightning that holds a payload.

    Args:
        path: The file.
        canary: What the payload writes.
        form: ``zip`` or ``legacy`` as torch writes files, ``plain`` for a bare pickle.
    """
    payload = Payload(canary)
    content = {
        "state_dict": {"weight": torch.zeros(1)},
        "pytorch-lightning_version": "2.6.1",
        "global_step": 1,
        "epoch": 0,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [payload],
        "lr_schedulers": [],
        "hyper_parameters": {"payload": payload, "_class_path": "lightning_modules.DualEncoder"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


def remote_code(directory: Path, canary: Path) -> Path:
    """Write a model directory that names code of its own for everything that is loaded by name."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "evil.py").write_text(
        CODE.format(canary=str(canary)) + "class Evil:\n    pass\n"
        "EvilConfig = EvilModel = EvilTokenizer = EvilProcessor = EvilPipeline = Evil\n"
    )
    names = (
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForTokenClassification",
        "AutoModelForImageTextToText",
    )
    maps = {name: "evil.EvilModel" for name in names} | {"AutoConfig": "evil.EvilConfig"}
    settings = {
        "config.json": {
            "model_type": "evil",
            "architectures": ["EvilModel"],
            "auto_map": maps,
            "hidden_size": 32,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "EvilTokenizer",
            "auto_map": {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]},
        },
        "preprocessor_config.json": {
            "image_processor_type": "EvilProcessor",
            "auto_map": {"AutoImageProcessor": "evil.EvilProcessor", "AutoProcessor": "evil.EvilProcessor"},
        },
        "model_index.json": {
            "_class_name": ["evil", "EvilPipeline"],
            "_diffusers_version": "0.30.0",
            "unet": ["evil", "EvilModel"],
            "vae": ["evil", "EvilModel"],
        },
    }
    for name, content in settings.items():
        (directory / name).write_text(json.dumps(content))
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        (directory / part).mkdir(exist_ok=True)
        for name in ("evil.py", "config.json", "tokenizer_config.json"):
            (directory / part / name).write_bytes((directory / name).read_bytes())
    (directory / "pipeline.py").write_bytes((directory / "evil.py").read_bytes())
    return directory


def pickled_weights(directory: Path, canary: Path, config: dict[str, Any]) -> Path:
    """Write a model directory of a known kind whose weights are pickles, by every name libraries know."""
    directory.mkdir(parents=True, exist_ok=True)
    for place in (directory, *(directory / part for part in ("unet", "vae", "text_encoder"))):
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(json.dumps(config))
        for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.pt"):
            torch.save({"weight": Payload(canary)}, place / name)
    return directory


def pickled_arrays(path: Path, canary: Path) -> Path:
    """Write an ``.npz`` with an array of objects."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.empty(1, object)
    array[0] = Payload(canary)
    names = ("images", "maps", "labels", "quantiles", "names")
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **dict.fromkeys(names, array))
    return path
