"""A checkpoint of the command line as embedder, and the filter that asks it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.checkpoint_embedder import CheckpointEmbedder
from main import main
from synthesis.filters import ImageReportAgreement, PairEmbedder
from synthesis.pairs import Pair, PairFilter, PairSynthesizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The checkpoint of a short `fit` on the real YAML, and the model it was saved from."""
    place = tmp_path_factory.mktemp("run")
    layers = ("pretrain", "recipes/smoke", "model/tiny")
    configs = [word for name in layers for word in ("-c", str(ROOT / "configs" / f"{name}.yaml"))]
    line = main(
        [
            "fit",
            *configs,
            f"--run_dir={place}",
            "--trainer.max_epochs=1",
            "--trainer.callbacks=[]",
            "--trainer.logger=false",
            "--trainer.enable_checkpointing=false",
            "--model.init_args.image_encoder.init_args.image_size=64",
            f"--data.init_args.artifacts_dir={place}",
        ]
    )
    line.trainer.save_checkpoint(place / "last.ckpt")
    return place / "last.ckpt", line.model


def test_it_embeds_as_the_model_does(trained: tuple[Path, Any]) -> None:
    path, model = trained
    embedder = CheckpointEmbedder(path, batch_size=3)
    assert isinstance(embedder, PairEmbedder)
    images = torch.rand(7, 1, 64, 64)
    torch.testing.assert_close(embedder.embed_images(images), model.encode_image(images))
    texts = ["Left pleural effusion.", "The lungs are clear."]
    torch.testing.assert_close(embedder.embed_texts(texts), model.encode_text(texts))
    assert embedder.embed_images(torch.rand(2, 1, 100, 100)).shape == (2, 16), "images of any size"
    again = pickle.loads(pickle.dumps(embedder))
    torch.testing.assert_close(again.embed_texts(texts), embedder.embed_texts(texts))
    assert len(embedder.describe()["checkpoint_sha256"]) == 64


def test_agreement_is_how_far_the_own_report_stands_out(
    trained: tuple[Path, Any], synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    embedder = CheckpointEmbedder(trained[0])
    pairs: list[Pair] = synthesizer.make(range(12), 0, "train")
    part = ImageReportAgreement(embedder)
    assert isinstance(part, PairFilter)
    values = part.measured(pairs)
    images = embedder.embed_images(torch.stack([pair.image for pair in pairs]).float() / 255)
    others = images @ embedder.embed_texts(part._references).T
    own = (images * embedder.embed_texts([pair.report.text for pair in pairs])).sum(1)
    assert values == pytest.approx(((own - others.mean(1)) / others.std(1)).tolist(), abs=1e-4)
    middle = sorted(values)[5] + 1e-6
    reasons = ImageReportAgreement(embedder, middle).reject(pairs)
    assert [reason is not None for reason in reasons] == [value < middle for value in values]
    assert {str(reason).partition(":")[0] for reason in reasons} == {"None", "report does not fit image"}
    lines = tmp_path / "reports.txt"
    lines.write_text("\n".join(pair.report.text for pair in pairs))
    assert ImageReportAgreement(embedder, references=lines).measured(pairs) != values
    assert ImageReportAgreement(embedder, references=lines).describe() != part.describe()


def test_what_is_no_checkpoint_is_named(tmp_path: Path, trained: tuple[Path, Any]) -> None:
    with pytest.raises(ValueError, match=r"gone\.ckpt' is no file"):
        CheckpointEmbedder(tmp_path / "gone.ckpt")
    (tmp_path / "few.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"few\.txt holds 1 reports"):
        ImageReportAgreement(CheckpointEmbedder(trained[0]), references=tmp_path / "few.txt")
