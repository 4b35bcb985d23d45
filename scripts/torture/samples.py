"""Small real commands that campaigns share, and how their results are compared to the last bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

TIMES = ("minutes", "date", "commit", "threads", "check")  # what is not the same twice, and its checksum
SIZE = 64  # pixels: the smallest that the simulator draws findings at
CALLBACKS: list[dict[str, Any]] = [
    {"class_path": "callbacks.FeatureCollector"},
    {"class_path": "callbacks.ZeroShot", "init_args": {"resamples": 20}},
    {"class_path": "callbacks.Retrieval", "init_args": {"resamples": 20}},
    {
        "class_path": "callbacks.RunCheckpoint",
        "init_args": {"monitor": "val/zero_shot/auroc_macro", "mode": "max"},
    },
    {"class_path": "callbacks.RunSummary"},
]
LAYERS = ("configs/pretrain.yaml", "configs/recipes/smoke.yaml", "configs/model/tiny.yaml")
QUIET = {
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": False,
    "trainer.enable_model_summary": False,
}


def csv_logger(directory: Path | str) -> list[dict[str, Any]]:
    """Return the logger that needs nothing else, as a value of ``trainer.logger``."""
    arguments = {"save_dir": str(directory), "name": "", "version": ""}
    return [{"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": arguments}]


def options(values: Mapping[str, Any]) -> list[str]:
    """Return ``--key=value`` words."""
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value, default=str)}"
        for key, value in values.items()
    ]


def command(subcommand: str, layers: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Return a command line of the program."""
    return ["main", subcommand, *(word for path in layers for word in ("-c", path)), *options(values)]


def small_values(directory: Path, **values: Any) -> dict[str, Any]:
    """Return values that make the base configuration a matter of seconds, with all it writes in a directory.

    Args:
        directory: Where run and artifacts go.
        **values: Over those; dots are written ``__``.
    """
    return {
        "run_dir": str(directory / "run"),
        **QUIET,
        "trainer.logger": csv_logger(directory / "run"),
        "trainer.callbacks": CALLBACKS,
        "model.init_args.image_encoder.init_args.image_size": SIZE,
        "data.init_args.artifacts_dir": str(directory / "artifacts"),
        "data.init_args.tokenizer_reports": 100,
        **{key.replace("__", "."): value for key, value in values.items()},
    }


def small_fit(directory: Path, **values: Any) -> list[str]:
    """Return a `fit` of seconds: see `small_values`."""
    return command("fit", LAYERS, small_values(directory, **values))


def write_layer(path: Path, values: Mapping[str, Any]) -> Path:
    """Write values by dotted names as a layer of YAML."""
    content: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = name.split(".")
        place = content
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def tree_sha256(directory: Path, leave_out: tuple[str, ...] = (".lock", ".tmp")) -> dict[str, str]:
    """Return the SHA-256 of every file under a directory by its path, without those that say who writes."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not any(word in path.name for word in leave_out)
    }


def training_state(checkpoint: Path) -> dict[str, Any]:
    """Return what has to be the same in the checkpoints of two trainings that are the same."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    names = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    return {name: hashed(content[name]) for name in names}


def hashed(value: Any) -> Any:
    """Return nested values with every tensor as its shape and SHA-256."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return f"{list(value.shape)} {hashlib.sha256(content.numpy().tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return {str(key): hashed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hashed(inner) for inner in value]
    return value


def differing(one: Any, other: Any, name: str = "") -> list[str]:
    """Return where two nested values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found = []
        for key in {**one, **other}:
            if key not in one or key not in other:
                found.append(f"{name}/{key}: only in one")
            else:
                found += differing(one[key], other[key], f"{name}/{key}")
        return found
    return [] if one == other else [f"{name}: {str(one)[:60]} / {str(other)[:60]}"]
