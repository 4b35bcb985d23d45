"""Both towers as ONNX: run without torch, for batches and texts of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules import BertEncoder, DualEncoder, ImageEncoder, InfoNCE, ResNetEncoder, ViTEncoder
from lightning_modules.exported import onnx_towers

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def dual(tokenizer: Any, image: ImageEncoder) -> DualEncoder:
    model = DualEncoder(image, BertEncoder(20, 16, 1, 2, 24, projection_dim=8), InfoNCE())
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.tokenizer = tokenizer
    return model.eval()


def vit() -> ImageEncoder:
    """Of all that a tower may have: a stem, pooling over places, two channels of which one is equalised."""
    stem = [4, 4, 8, 8]
    return ViTEncoder(32, 16, 16, 1, 2, stem_channels=stem, pooling="spatial", projection_dim=8, tones="both")


def resnet() -> ImageEncoder:
    return ResNetEncoder(32, 32, [1, 1, 1, 1], projection_dim=8)


@pytest.mark.parametrize("tower", [vit, pytest.param(resnet, marks=pytest.mark.slow)])
def test_any_batch_and_any_text_gives_the_features_of_the_model(
    tower: Any, tokenizer: Any, tmp_path: Path
) -> None:
    import onnxruntime

    torch.manual_seed(0)
    model = dual(tokenizer, tower())
    assert onnx_towers.export_onnx(model, tmp_path) < 1e-5
    images = torch.rand(5, 1, 32, 32)
    session = onnxruntime.InferenceSession(tmp_path / onnx_towers.IMAGE_FILE)
    (found,) = session.run(None, {"image": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model.encode_image(images), atol=1e-5, rtol=0)
    session = onnxruntime.InferenceSession(tmp_path / onnx_towers.TEXT_FILE)
    for texts in (["mass"], ["left effusion", "no nodule " * 9, "large mass", "small mass"]):
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="np")
        inputs = {key: tokens[key].astype("int64") for key in ("input_ids", "attention_mask")}
        (found,) = session.run(None, inputs)
        torch.testing.assert_close(torch.from_numpy(found), model.encode_text(texts), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_files_that_give_other_features_are_refused(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dual(tokenizer, vit())
    write = onnx_towers._write
    written = []

    def spoilt(module: torch.nn.Module, *rest: Any) -> None:
        if not written:
            with torch.no_grad():
                copied = dual(tokenizer, vit())  # of other weights
            module = onnx_towers._Images(copied.image_encoder)
        written.append(1)
        write(module, *rest)

    monkeypatch.setattr(onnx_towers, "_write", spoilt)
    with pytest.raises(RuntimeError, match="differ from the model's by"):
        onnx_towers.export_onnx(model, tmp_path)


def test_features_that_are_no_numbers_are_refused(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = iter([torch.tensor(0.0), torch.tensor(float("nan"))])  # those of images, then of texts
    monkeypatch.setattr(onnx_towers, "_write", lambda *_: None)
    monkeypatch.setattr(onnx_towers, "_difference", lambda *_: next(apart))
    with pytest.raises(RuntimeError, match="differ from the model's by nan"):
        onnx_towers.export_onnx(dual(tokenizer, vit()), tmp_path)
