"""Both towers as ONNX files, for programs without PyTorch."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS
from lightning_modules.adaptation import merge_additions
from lightning_modules.dual_encoder import DualEncoder

IMAGE_FILE, TEXT_FILE = "image_encoder.onnx", "text_encoder.onnx"

TOLERANCE = 1e-4
"""Largest difference of a component of a unit vector between torch and onnxruntime."""


class _Images(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder({IMAGE: image}).projected


class _Texts(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.encoder({INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask}).projected


def export_onnx(model: DualEncoder, directory: str | Path) -> float:
    """Write `IMAGE_FILE` and `TEXT_FILE`, run them with onnxruntime, and compare with the model.

    The image tower takes ``image``, float32 ``(batch, 1, height, width)`` in [0, 1]; the text tower takes
    ``input_ids`` and ``attention_mask``, int64 ``(batch, token)``. Both give ``projected``, unit vectors
    ``(batch, projection)``. Batches and texts may have any size.

    Args:
        model: A trained model with its tokenizer.
        directory: Where they go.

    Returns:
        The largest difference of any component.

    Raises:
        ModuleNotFoundError: If the extra ``[onnx]`` is not installed.
        RuntimeError: If the features differ by more than `TOLERANCE`.
    """
    try:
        import onnxruntime  # noqa: F401  what runs the files
        import onnxscript  # noqa: F401  what torch writes ONNX with
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX needs onnx and onnxruntime: pip install 'synvlp[onnx]'") from error
    assert model.tokenizer is not None
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    image, text = (copy.deepcopy(tower).cpu().eval() for tower in (model.image_encoder, model.text_encoder))
    for tower in (image, text):
        merge_additions(tower)
    side = model.image_encoder.image_size
    rows = torch.export.Dim("batch", min=1)
    words = torch.export.Dim("token", min=2, max=model.text_encoder.max_length)
    pictures = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0))
    encoded = model.tokenizer(
        ["no mass", "small left pleural effusion", "the heart is enlarged. " * 3],
        padding=True,
        truncation=True,
        max_length=min(model.tokenizer.model_max_length, model.text_encoder.max_length),
        return_tensors="pt",
    )
    tokens = {name: encoded[name] for name in (INPUT_IDS, ATTENTION_MASK)}
    _write(_Images(image), directory / IMAGE_FILE, {"image": pictures}, {"image": {0: rows}})
    shape = {0: rows, 1: words}
    _write(_Texts(text), directory / TEXT_FILE, tokens, {INPUT_IDS: shape, ATTENTION_MASK: shape})
    apart = [
        _difference(directory / IMAGE_FILE, _Images(image), {"image": pictures}),
        _difference(directory / TEXT_FILE, _Texts(text), tokens),
    ]
    difference = float(torch.stack(apart).max())  # NaN if one is: Python's own max would pass over it
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{directory}: features of the ONNX files differ from the model's by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}; do not use them, and report this with the run's config.yaml"
        )
    return difference


def _write(module: nn.Module, path: Path, inputs: dict[str, Tensor], shapes: dict[str, Any]) -> None:
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            module.eval(),
            kwargs=dict(inputs),
            f=path,
            input_names=list(inputs),
            output_names=["projected"],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    finally:
        quiet.setLevel(level)


def _difference(path: Path, module: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return by how much the features of a file differ from a module's; NaN if one is."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    apart = []
    for count in (len(next(iter(inputs.values()))), 1):  # another size than it was traced with
        part = {key: value[:count] for key, value in inputs.items()}
        (found,) = session.run(None, {key: value.numpy() for key, value in part.items()})
        with torch.no_grad():
            apart.append((torch.from_numpy(found) - module(**part)).abs().max())
    return torch.stack(apart).max()
