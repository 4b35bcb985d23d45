"""Exported models: read back by transformers, with the features of the model they were made of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lightning_modules import Adaptation, BertEncoder, DualEncoder, InfoNCE, ViTEncoder
from tests.lightning_modules.test_configs import build

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32
PLAIN_IMAGE = {"pooling": "cls", "mean": 0.5, "std": 0.25}
# The image tower of the recipes, small.
RECIPE_IMAGE = {"pooling": "spatial", "stem_channels": [4, 4, 8, 8], "quiet_start": True}
TEXTS = ["large left effusion", "no nodule", "mass " * 40]


def dual(tokenizer: Any, image: dict[str, Any], text: dict[str, Any]) -> DualEncoder:
    torch.manual_seed(0)
    sizes = {"width": 16, "layers": 2, "heads": 2, "projection_dim": 8}
    model = DualEncoder(
        ViTEncoder(SIZE, 16, **sizes, **image),
        BertEncoder(vocab_size=20, max_length=24, **sizes, **text),
        InfoNCE(temperature=0.1),
    )
    towers = (model.image_encoder, model.text_encoder)
    for parameter in (
        p for tower in towers for p in tower.parameters()
    ):  # nothing is at the zeros and ones where it starts
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.tokenizer = tokenizer
    return model


def picture(seed: int, size: tuple[int, int] = (SIZE, SIZE)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8))


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy())[None, None].float() / 255


@pytest.fixture
def exported(tokenizer: Any, tmp_path: Path) -> Callable[..., tuple[DualEncoder, Path]]:
    from lightning_modules.exported import export

    def build(image: dict[str, Any], text: dict[str, Any]) -> tuple[DualEncoder, Path]:
        model = dual(tokenizer, image, text)
        export(model, tmp_path / "exported")
        return model, tmp_path / "exported"

    return build


CASES = {
    "plain": (PLAIN_IMAGE, {"pooling": "cls"}),
    "recipe": (RECIPE_IMAGE, {}),
    "mean pooling, hidden projections": ({"projection_hidden": 12}, {"projection_hidden": 24}),
    "one plain": (PLAIN_IMAGE, {}),
    "equalised": (PLAIN_IMAGE | {"tones": "equalised"}, {"pooling": "cls"}),
    "both tones": (RECIPE_IMAGE | {"tones": "both"}, {}),
}


def test_lora_is_merged_into_the_weights(tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from lightning_modules.exported import export

    model = dual(tokenizer, {**PLAIN_IMAGE, "stem_channels": None}, {"pooling": "cls"})
    adaptation = Adaptation(lora_rank=2)
    for tower in (model.image_encoder.vit, model.text_encoder.bert):
        adaptation.apply(tower, "a checkpoint")
        for name, parameter in tower.named_parameters():
            if "lora_B" in name:
                parameter.data += torch.randn_like(parameter)
    before = model.encode_text(TEXTS)
    read = export(model, tmp_path / "exported")  # compares the features itself
    assert not any("lora" in name for name in read.state_dict())
    assert torch.equal(model.encode_text(TEXTS), before), "the model itself stays as it is"


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_the_model(case: str, exported: Any) -> None:
    from transformers import AutoModel, AutoProcessor

    model, directory = exported(*CASES[case])
    read = AutoModel.from_pretrained(directory, local_files_only=True).eval()
    processor = AutoProcessor.from_pretrained(directory, local_files_only=True)
    assert type(read).__name__ == "VisionTextDualEncoderModel"
    images = [picture(i) for i in range(3)]
    ours = model.encode_image(torch.cat([pixels(image) for image in images])), model.encode_text(TEXTS)
    inputs = processor.image_processor(images=[i.convert("RGB") for i in images], return_tensors="pt")
    tokens = processor.tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        theirs = read(**inputs, **tokens)
    torch.testing.assert_close(theirs.image_embeds, ours[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.text_embeds, ours[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.logits_per_image, 10 * ours[0] @ ours[1].T, atol=1e-3, rtol=0)
    assert ours[0].std(0).min() > 1e-3, "the images are told apart"
    assert tokens["input_ids"].shape[1] == 24, "longer texts are cut to what the tower takes"


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_was_written_is_read_back_as_a_dual_encoder(
    case: str, half: bool, tokenizer: Any, tmp_path: Path
) -> None:
    from lightning_modules.exported import export, read_directory
    from synthesis.checksums import write_checksums
    from synthesis.model_files import ModelFilesError

    model = dual(tokenizer, *CASES[case])
    export(model, tmp_path, half=half)
    write_checksums(tmp_path)
    read = read_directory(tmp_path)
    images, exact = torch.cat([pixels(picture(i)) for i in range(3)]), 5e-3 if half else 1e-5
    for ours, theirs in (
        (model.encode_image(images), read.encode_image(images)),
        (model.encode_patches(images), read.encode_patches(images)),
        (model.encode_text(TEXTS), read.encode_text(TEXTS)),
    ):
        torch.testing.assert_close(theirs, ours, atol=exact, rtol=exact)
    if half:
        return
    assert {k: v.shape for k, v in read.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFilesError, match=r"model\.safetensors is damaged"):
        read_directory(tmp_path)


def test_a_directory_of_another_program_is_not_read_as_ours(exported: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from lightning_modules.exported import read_directory

    _, directory = exported(*CASES["plain"])
    state = load_file(directory / "model.safetensors")
    state["text_model.pooler.dense.weight"] += 0.1
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="BertModel pools in a way of its own"):
        read_directory(directory)


def test_plain_towers_load_and_classify_without_this_project(exported: Any, tmp_path: Path) -> None:
    model, directory = exported(*CASES["plain"])
    picture(7, (40, SIZE)).save(tmp_path / "image.png")
    code = (
        "import json, sys; from transformers import pipeline\n"
        f"classify = pipeline('zero-shot-image-classification', model={str(directory)!r})\n"
        f"found = classify({str(tmp_path / 'image.png')!r}, candidate_labels=['left mass', 'no effusion'],"
        " hypothesis_template='{}')\n"
        "assert not [name for name in sys.modules if name.startswith('lightning_modules')]\n"
        "print(json.dumps(found))"
    )
    printed = elsewhere(code, tmp_path)
    expected = scores(model, picture(7, (40, SIZE)), ["left mass", "no effusion"])
    assert_scores(printed, expected)


def test_the_standard_towers_reload_without_this_project(tokenizer: Any, tmp_path: Path) -> None:
    from lightning_modules.exported import export

    sizes = {
        "image_encoder": {"image_size": SIZE, "width": 16, "layers": 2, "heads": 2, "projection_dim": 8},
        "text_encoder": {
            "vocab_size": 20, "max_length": 24, "width": 16, "layers": 2, "heads": 2, "projection_dim": 8,
        },
    }  # fmt: skip
    tiny = [
        f"--model.init_args.{tower}.init_args.{name}={size}"
        for tower, sizes_of in sizes.items()
        for name, size in sizes_of.items()
    ]
    torch.manual_seed(0)
    model = build(f"--config={ROOT / 'configs' / 'model' / 'vit_b_bert_b.yaml'}", *tiny).eval()
    model.tokenizer = tokenizer
    export(model, tmp_path / "exported")
    picture(7).save(tmp_path / "image.png")
    code = (
        "import sys, torch; from PIL import Image; from transformers import AutoModel, AutoProcessor\n"
        "processor = AutoProcessor.from_pretrained('exported')\n"
        f"inputs = processor(images=[Image.open('image.png').convert('RGB')], text={TEXTS}, padding=True,"
        " truncation=True, return_tensors='pt')\n"
        "found = AutoModel.from_pretrained('exported').eval()(**inputs)\n"
        "assert not [name for name in sys.modules if name.startswith('lightning_modules')]\n"
        "torch.save([found.image_embeds.detach(), found.text_embeds.detach()], 'features.pt')"
    )
    elsewhere(code, tmp_path)
    image, text = torch.load(tmp_path / "features.pt", weights_only=True)
    torch.testing.assert_close(image, model.encode_image(pixels(picture(7))), atol=1e-5, rtol=0)
    torch.testing.assert_close(text, model.encode_text(TEXTS), atol=1e-5, rtol=0)


def test_the_towers_of_the_recipe_classify_where_the_project_is_imported(exported: Any) -> None:
    from transformers import AutoModelForZeroShotImageClassification, pipeline

    model, directory = exported(*CASES["recipe"])
    listed = AutoModelForZeroShotImageClassification.from_pretrained(directory, local_files_only=True)
    assert type(listed).__name__ == "VisionTextDualEncoderModel"
    classify = pipeline("zero-shot-image-classification", model=str(directory))
    labels = ["left mass", "no effusion", "large nodule"]
    found = classify(picture(7).convert("RGB"), candidate_labels=labels, hypothesis_template="{}")
    expected = scores(model, picture(7), labels)
    assert {entry["label"]: pytest.approx(entry["score"], abs=1e-4) for entry in found} == expected


def elsewhere(code: str, directory: Path) -> str:
    """What code prints in a process of its own, offline and without this project on its path."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        capture_output=True,
        text=True,
        env=kept | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def scores(model: DualEncoder, image: Image.Image, labels: list[str]) -> dict[str, float]:
    """What the pipeline should find: softmax over the labels, of the middle of the image."""
    top = (image.height - SIZE) // 2
    square = image.crop((0, top, SIZE, top + SIZE))
    similarity = 10 * model.encode_image(pixels(square)) @ model.encode_text(labels).T
    return dict(zip(labels, F.softmax(similarity[0], 0).tolist(), strict=True))


def assert_scores(printed: str, expected: dict[str, float]) -> None:
    import json

    found = json.loads(printed.splitlines()[-1])
    assert {entry["label"]: pytest.approx(entry["score"], abs=1e-4) for entry in found} == expected


def test_a_pretrained_tower_of_another_kind_needs_no_checkpoint_afterwards(
    tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModel, Dinov2Config, Dinov2Model

    from lightning_modules.exported import export

    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=16
    )
    Dinov2Model(config).save_pretrained(tmp_path / "dino")
    model = dual(tokenizer, {"pretrained": str(tmp_path / "dino")}, {})
    export(model, tmp_path / "exported")
    (tmp_path / "dino").rename(tmp_path / "gone")
    read = AutoModel.from_pretrained(tmp_path / "exported").eval()
    with torch.no_grad():
        found = read.get_image_features(pixel_values=pixels(picture(1)).expand(-1, 3, -1, -1)).pooler_output
    torch.testing.assert_close(
        F.normalize(found, dim=-1), model.encode_image(pixels(picture(1))), atol=1e-5, rtol=0
    )


def test_open_clip_interface(exported: Any) -> None:
    from lightning_modules.exported import load_open_clip

    model, directory = exported(*CASES["recipe"])
    adapter, transform, tokenize = load_open_clip(directory)
    images = torch.stack([transform(picture(i)) for i in range(3)])
    tokens = tokenize(TEXTS)
    assert tokens.shape == (3, 24) and tokens.dtype == torch.int64 and tokenize("no mass").shape == (1, 24)
    with torch.no_grad():
        image, text, scale = adapter(images, tokens)
        raw = adapter.encode_image(images)
    assert not torch.allclose(raw, image) and torch.allclose(F.normalize(raw, dim=-1), image)
    ours = torch.cat([pixels(picture(i)) for i in range(3)])
    torch.testing.assert_close(image, model.encode_image(ours), atol=1e-5, rtol=0)
    torch.testing.assert_close(text, model.encode_text(TEXTS), atol=1e-5, rtol=0)
    assert float(scale) == pytest.approx(10)


def test_what_cannot_be_exported_is_named(tokenizer: Any, tmp_path: Path) -> None:
    from lightning_modules.exported import export

    class OtherEncoder(BertEncoder.__mro__[1]):  # type: ignore[misc,name-defined]
        def forward(self, batch: Any) -> Any: ...

        def check_tokenizer(self, tokenizer: Any) -> None: ...

    model = dual(tokenizer, PLAIN_IMAGE, {})
    model.text_encoder = OtherEncoder(16, 8)
    with pytest.raises(ValueError, match="cannot export ViTEncoder and OtherEncoder"):
        export(model, tmp_path)
    model = dual(tokenizer, PLAIN_IMAGE, {})
    model.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        export(model, tmp_path)


def test_a_directory_with_other_features_is_refused(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_modules.exported import export as entry
    from lightning_modules.exported import plain_towers

    model = dual(tokenizer, PLAIN_IMAGE, {"pooling": "cls"})
    monkeypatch.setattr(plain_towers, "_SMALL", 1.0)  # then BERT's tanh squashes the features
    with pytest.raises(RuntimeError, match="differ from the model's by"):
        entry(model, tmp_path)


def test_features_that_are_no_numbers_are_refused(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_modules.exported import export as entry

    model = dual(tokenizer, PLAIN_IMAGE, {"pooling": "cls"})
    encode = model.encode_text
    monkeypatch.setattr(model, "encode_text", lambda texts: encode(texts) * float("nan"))
    with pytest.raises(RuntimeError, match="differ from the model's by nan"):
        entry(model, tmp_path)
