"""Reading and merging the JSON documents of a run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import nn


def read_supervised(path: Path) -> dict[str, Any]:
    """Return the figures of the same tower trained on labels: ``{"auroc": {concept: value}, "looks": n}``.

    Args:
        path: ``{"<concept>": AUROC}``. ``<name>_run.json`` beside it may hold ``pictures`` and ``passes``,
            whose product is the number of looks; without that file it is left out.

    Raises:
        ValueError: If the file is not such a mapping, or a value is outside [0, 1].
    """
    try:
        read = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"RunSummary: cannot read {path}: {error}; give a JSON file") from error
    if not isinstance(read, dict):
        raise ValueError(f"RunSummary: {path} holds a {type(read).__name__}; write {{concept: AUROC}}")
    for concept, value in read.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"RunSummary: {path} has {concept!r}: {value!r}; write an AUROC in [0, 1]")
    supervised: dict[str, Any] = {"auroc": {concept: float(value) for concept, value in read.items()}}
    if (run := path.with_name(f"{path.stem}_run.json")).is_file():
        told = json.loads(run.read_text())
        supervised["looks"] = told["pictures"] * told["passes"]
    return supervised


def architecture(tower: nn.Module) -> str:
    """Return a hash that is the same for two image towers of the same make, whatever they project to.

    Args:
        tower: An image encoder; its class, and names and shapes of its weights but the projection's count.
    """
    shapes = [(n, tuple(w.shape)) for n, w in tower.named_parameters() if "projection" not in n.split(".")[0]]
    return hashlib.sha256(repr((type(tower).__name__, sorted(shapes))).encode()).hexdigest()[:16]


def supervised_of(folder: Path, tower: Any) -> dict[str, Any] | None:
    """Return what `read_supervised` reads of the folder's figures of such a tower; None if there are none.

    Args:
        folder: With ``<image size>px.json`` and ``<image size>px_run.json``, which tells the architecture.
        tower: The image encoder of the model at hand.
    """
    measured = folder / f"{getattr(tower, 'image_size', None)}px.json"
    run = measured.with_name(f"{measured.stem}_run.json")
    if not isinstance(tower, nn.Module) or not measured.is_file() or not run.is_file():
        return None
    same = json.loads(run.read_text()).get("architecture") == architecture(tower)
    return read_supervised(measured) if same else None


def merged(path: Path, summary: Mapping[str, Any], stages: tuple[str, ...]) -> dict[str, Any]:
    """Return the summary beside what other stages left in the file; what the same stages left is dropped."""
    try:
        old = json.loads(path.read_text()) if path.exists() else {}
    except json.JSONDecodeError as error:
        aside = path.with_name(f"{path.name}.unreadable")
        path.replace(aside)
        rank_zero_warn(f"{path} was no JSON ({error}); it is kept as {aside.name} and a new one begins")
        old = {}

    def others(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {key: v for key, v in entries.items() if key.split("/")[0] not in stages and key != "details"}

    figures = others(old) | {key: v for key, v in summary.items() if key != "details"}
    details = others(old.get("details", {})) | summary["details"]
    document: dict[str, Any] = _finite(dict(sorted(figures.items())) | {"details": details})
    return document


def _finite(value: Any) -> Any:
    """Return the same document with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
