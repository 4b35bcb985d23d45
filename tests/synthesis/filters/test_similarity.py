from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from synthesis.filters import BadExamples, ImageEmbedder, MemorisedImages, PretrainedEncoder, Thumbnails
from synthesis.pairs import Pair, PairFilter
from tests.made_pairs import kinds


@pytest.fixture(scope="module")
def folder(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten of the images as JPEG files, in a folder of a folder."""
    place = tmp_path_factory.mktemp("bad") / "deeper"
    place.mkdir()
    for pair in pairs[:10]:
        Image.fromarray(pair.image[0].numpy()).save(place / f"{pair.index:02}.jpg", quality=80)
    return place.parent


@pytest.mark.parametrize(
    ("make", "kind"), [(BadExamples, "like a bad example"), (MemorisedImages, "memorised")]
)
def test_what_is_in_the_folder_is_refused_and_named(
    make: type[BadExamples], kind: str, folder: Path, pairs: list[Pair]
) -> None:
    part = make(folder, image_size=64)
    assert isinstance(part, PairFilter)
    reasons = part.reject(pairs)
    assert kinds(reasons) == [kind] * 10 + [None] * (len(pairs) - 10)
    assert all(f"{k:02}.jpg" in str(reason) for k, reason in enumerate(reasons[:10]))


def test_the_fingerprint_holds_the_images(folder: Path, tmp_path: Path) -> None:
    described = BadExamples(folder).describe()
    assert described == BadExamples(folder).describe() != BadExamples(folder, threshold=0.8).describe()
    Image.new("L", (20, 20), 90).save(tmp_path / "one.png")
    assert BadExamples(tmp_path).describe()["files_sha256"] != described["files_sha256"]


def test_a_folder_without_images_and_a_broken_file_are_named(tmp_path: Path, pairs: list[Pair]) -> None:
    with pytest.raises(ValueError, match=r"holds no \.png"):
        BadExamples(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"PNG?")
    with pytest.raises(ValueError, match=r"broken\.png: cannot be read"):
        BadExamples(tmp_path).reject(pairs[:1])


def test_a_transformers_model_embeds_images(tmp_path: Path, pairs: list[Pair], folder: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    encoder = PretrainedEncoder(tmp_path, batch_size=3)
    assert isinstance(encoder, ImageEmbedder)
    images = torch.stack([pair.image for pair in pairs[:7]]).float() / 255
    vectors = encoder.embed_images(images)
    assert vectors.shape == (7, 16)
    pixels = ViTImageProcessorPil.from_pretrained(tmp_path)(
        images=[pair.image.expand(3, -1, -1).numpy() for pair in pairs[:7]], return_tensors="pt"
    )
    with torch.no_grad():
        pooled = Dinov2Model.from_pretrained(tmp_path).eval()(**pixels).pooler_output
    torch.testing.assert_close(encoder.features(images), pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(vectors, F.normalize(pooled, dim=1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(7))
    torch.testing.assert_close(encoder.embed_images(images[2:3]), vectors[2:3], atol=1e-5, rtol=1e-4)
    assert len({tuple(v.tolist()) for v in vectors}) == 7
    part = BadExamples(folder, encoder, threshold=0.99999, image_size=64)
    assert isinstance(part.describe()["embedder"]["files_sha256"]["model.safetensors"], str)
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        PretrainedEncoder(folder)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"holds no preprocessor_config\.json"):
        PretrainedEncoder(tmp_path)


def test_thumbnails_ignore_exposure(pairs: list[Pair]) -> None:
    images = torch.stack([pair.image for pair in pairs[:5]]).float() / 255
    vectors = Thumbnails().embed_images(images)
    torch.testing.assert_close(Thumbnails().embed_images(images * 0.5 + 0.2), vectors, atol=1e-4, rtol=1e-3)
