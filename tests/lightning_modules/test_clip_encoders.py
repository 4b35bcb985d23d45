"""Towers of CLIP-like checkpoints give transformers' own features, train, and refuse what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lightning_modules import (
    MGCA,
    Adaptation,
    CLIPImageEncoder,
    CLIPTextEncoder,
    DualEncoder,
    GLoRIA,
    InfoNCE,
)

Make = Callable[..., Any]
SIZES: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
VISION = {**SIZES, "hidden_size": 24, "image_size": 32, "patch_size": 8}
TEXT = {**SIZES, "hidden_size": 16, "vocab_size": 16, "max_position_embeddings": 20}
SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
DIMENSIONS = {"clip": 12, "siglip": 24, "vit and bert": 12}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def model_of(kind: str) -> Any:
    from transformers import (
        BertConfig,
        CLIPConfig,
        CLIPModel,
        SiglipConfig,
        SiglipModel,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
    )

    torch.manual_seed(0)
    if kind == "clip":
        return CLIPModel(CLIPConfig(text_config={**TEXT, **SPECIAL}, vision_config=VISION, projection_dim=12))
    if kind == "siglip":
        text = {**TEXT, **SPECIAL, "projection_size": 24}
        return SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    return VisionTextDualEncoderModel(
        VisionTextDualEncoderConfig.from_vision_text_configs(
            ViTConfig(**VISION), BertConfig(**TEXT), projection_dim=12
        )
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from transformers import CLIPImageProcessorPil

    from tests.lightning_modules.conftest import make_tokenizer

    directories = {}
    for kind in DIMENSIONS:
        directory = directories[kind] = tmp_path_factory.mktemp("pair")
        model_of(kind).save_pretrained(directory)
        make_tokenizer().save_pretrained(directory)
        CLIPImageProcessorPil(image_mean=MEAN, image_std=STD).save_pretrained(directory)
    return directories


def towers(saved: dict[str, Path], kind: str, **image: Any) -> tuple[CLIPImageEncoder, CLIPTextEncoder]:
    where, dimension = str(saved[kind]), DIMENSIONS[kind]
    options: dict[str, Any] = {
        "pretrained": where,
        "image_size": 32,
        "width": 24,
        "projection_dim": dimension,
    }
    return (
        CLIPImageEncoder(**{**options, **image}),
        CLIPTextEncoder(where, max_length=16, width=16, projection_dim=dimension),
    )


def grey(side: int = 32) -> torch.Tensor:
    return torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(1))


def colour(images: torch.Tensor) -> torch.Tensor:
    means, deviations = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (images.expand(-1, 3, -1, -1) - means) / deviations


@pytest.mark.parametrize("kind", DIMENSIONS)
@torch.no_grad()
def test_features_are_those_of_transformers(kind: str, saved: dict[str, Path], tokenizer: Any) -> None:
    from transformers import AutoModel

    theirs = AutoModel.from_pretrained(saved[kind]).eval()
    image, text = towers(saved, kind)
    model = DualEncoder(image, text, InfoNCE())
    model.tokenizer = tokenizer
    expected = theirs.get_image_features(pixel_values=colour(grey())).pooler_output
    torch.testing.assert_close(model.encode_image(grey()), F.normalize(expected, dim=-1))
    words = [word for word in tokenizer.get_vocab() if not word.startswith("[")]
    texts = [words[0], " ".join(words[:5]), " ".join(words[3:6])]
    length: dict[str, Any] = {"padding": True}
    if kind == "siglip":  # as its documentation says
        length = {"padding": "max_length", "max_length": 20}
    tokens = tokenizer(texts, return_tensors="pt", return_token_type_ids=False, **length)
    if kind == "siglip":
        del tokens["attention_mask"]
    expected = theirs.get_text_features(**tokens).pooler_output
    torch.testing.assert_close(model.encode_text(texts), F.normalize(expected, dim=-1))
    apart = (model.encode_text(texts[:1]) - model.encode_text(texts[1:2])).abs().max()
    assert apart > 1e-4, "texts are told apart"


@pytest.mark.parametrize("kind", DIMENSIONS)
@torch.no_grad()
def test_patches_are_the_places_of_the_image_row_by_row(kind: str, saved: dict[str, Path]) -> None:
    image, text = (tower.eval() for tower in towers(saved, kind))
    images = grey()
    found = image({"image": images})
    assert found.local.shape == (3, 16, 24)
    assert image.project_local(found).shape == (3, 16, DIMENSIONS[kind])
    changed = images.clone()
    changed[:, :, 8:16, 24:] = 1 - changed[:, :, 8:16, 24:]  # second row, fourth place
    moved = (image({"image": changed}).local - found.local).norm(dim=2)
    assert moved.argmax(1).tolist() == [7] * 3
    maps = image.hidden_maps({"image": images})
    assert [m.shape for m in maps] == [(3, 24, 4, 4)] * 2
    shifted = (image.hidden_maps({"image": changed})[-1] - maps[-1]).norm(dim=1)
    assert shifted.flatten(1).argmax(1).tolist() == [7] * 3
    batch = {
        "input_ids": torch.tensor([[2, 5, 6, 3, 0, 0, 0, 0]]),
        "attention_mask": torch.tensor([[1] * 4 + [0] * 4]),
    }
    assert text(batch).local.shape == (1, 8, 16)


@pytest.mark.parametrize("kind", DIMENSIONS)
@torch.no_grad()
def test_positions_are_interpolated(kind: str, saved: dict[str, Path]) -> None:
    from transformers import AutoModel

    tower = AutoModel.from_pretrained(saved[kind]).vision_model.eval()
    image = towers(saved, kind, image_size=48)[0].eval()
    expected = tower(pixel_values=colour(grey(48)), interpolate_pos_encoding=True).pooler_output
    torch.testing.assert_close(image({"image": grey(48)}).pooled, expected)


@pytest.mark.parametrize("objective", ["InfoNCE", "GLoRIA", "MGCA"])
@pytest.mark.parametrize("kind", DIMENSIONS)
def test_objectives_train_them(
    kind: str, objective: str, saved: dict[str, Path], data: Make, trainer: Make
) -> None:
    losses: dict[str, Callable[[], Any]] = {
        "InfoNCE": InfoNCE,
        "GLoRIA": lambda: GLoRIA(24, 16, dim=8),
        "MGCA": lambda: MGCA(24, 16, DIMENSIONS[kind], dim=8, prototypes=4),
    }
    model = DualEncoder(*towers(saved, kind), losses[objective](), learning_rate=1e-3, warmup=0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert all(module.training for module in model.modules()), "from_pretrained leaves them in evaluation"
    trainer(max_steps=2, limit_val_batches=0).fit(model, data())
    assert not [n for n, v in model.named_parameters() if v.grad is None], "DDP refuses what has no gradient"
    moved = {n.split(".")[0] for n, v in model.named_parameters() if not torch.equal(v, before[n])}
    assert {"image_encoder", "text_encoder"} <= moved


def test_only_upper_blocks_may_be_trained(saved: dict[str, Path]) -> None:
    image = towers(saved, "clip", adaptation=Adaptation(frozen_layers=1))[0]
    trained = {name for name, value in image.vision.named_parameters() if value.requires_grad}
    assert any("layers.1." in name for name in trained)
    assert not any("layers.0." in name or name.startswith("embeddings.") for name in trained)


def test_the_layer_names_the_checkpoint_once() -> None:
    from scripts.resolved_config import resolved_config

    image = "--model.init_args.image_encoder.init_args"
    layers = ("pretrain", "towers/clip", "objectives/mgca")
    words = [word for layer in layers for word in ("-c", f"configs/{layer}.yaml")]
    config = resolved_config("fit", *words, f"{image}.pretrained=checkpoints/clip", f"{image}.image_size=96")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    parts = (model["image_encoder"]["init_args"], model["text_encoder"]["init_args"])
    assert [part["pretrained"] for part in parts] == ["checkpoints/clip"] * 2
    assert str(data["tokenizer"]["path"]) == "checkpoints/clip" and data["views"]["max_length"] == 72
    assert data["synthesizer"]["init_args"]["image_maker"]["init_args"]["image_size"] == 96
    mgca = model["objective"]["init_args"]
    assert (mgca["image_width"], mgca["text_width"], mgca["projection_dim"]) == (768, 512, 512)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 36}, "image_size 36 is no multiple of 8.*give a multiple; its own images have 32 px"),
        ({"width": 32}, r"vision tower of .*asked for \(width: 32, projection_dim: 12\): set width: 24$"),
        ({"projection_dim": 16}, r"set projection_dim: 12$"),
        ({"pretrained": "no/such"}, "pretrained='no/such': no such directory"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    options: dict[str, Any], message: str, saved: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match=message):
        towers(saved, "clip", **options)


def test_texts_and_tokenizers_that_do_not_fit_are_refused(saved: dict[str, Path]) -> None:
    from tests.lightning_modules.conftest import make_tokenizer

    with pytest.raises(ValueError, match=r"max_length is 77, .* has 20 positions: set it to 16 or less"):
        CLIPTextEncoder(str(saved["clip"]), max_length=77, width=16, projection_dim=12)
    text = towers(saved, "clip")[1]
    ids = torch.ones(1, 24, dtype=torch.long)
    with pytest.raises(ValueError, match="texts have 24 tokens, the encoder takes 16"):
        text({"input_ids": ids, "attention_mask": ids})
    text.check_tokenizer(make_tokenizer())
    with pytest.raises(ValueError, match=r"the data's tokenizer is not that of .*tokenizer\.path"):
        text.check_tokenizer(make_tokenizer(["another", "word"]))


def test_directories_that_do_not_fit_are_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(saved["clip"], tmp_path / name))

    bare = copy("bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="holds no image processor"):
        towers({"clip": bare}, "clip")
    mute = copy("mute")
    for file in [*mute.glob("tokenizer*"), *mute.glob("vocab*")]:
        file.unlink()
    with pytest.raises(ValueError, match="holds no tokenizer"):
        towers({"clip": mute}, "clip")
    other = copy("other")
    model_of("clip").vision_model.save_pretrained(other)
    with pytest.raises(ValueError, match="of type clip_vision_model; give the directory of a CLIPModel"):
        towers({"clip": other}, "clip")
    lacking = copy("lacking")
    config = json.loads((lacking / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    (lacking / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="lacks 16 weights of a CLIPModel"):
        towers({"clip": lacking}, "clip")
