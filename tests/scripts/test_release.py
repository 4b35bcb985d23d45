"""Encoders for others: the one that is shipped, and how a directory is built and uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules import CheckpointEmbedder
from scripts.exports import release
from synthesis.checksums import CHECKSUMS
from synthesis.model_files import model_directory
from synthesis.pairs import PairSynthesizer

SHORT = "results/encoders/short"


def test_the_shipped_encoder_loads_by_name_anywhere_and_tells_findings_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.metrics import roc_auc_score

    from lightning_modules.exported import read_directory
    from synthesis.cases import BalancedCaseSampler
    from synthesis.images.simulator import Simulator
    from synthesis.reports.grammar import GrammarWriter

    monkeypatch.chdir(tmp_path)
    model = read_directory(SHORT)
    maker = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=128))
    pairs = maker.make(range(80), seed=5, split="test")
    images = model.encode_image(torch.stack([pair.image for pair in pairs]).float() / 255)
    prompts = ["Pleural effusion is present.", "No pleural effusion."]
    present, absent = (images @ model.encode_text(prompts).T).T
    truth = np.array([any(f.concept == "pleural_effusion" for f in pair.case.findings) for pair in pairs])
    assert 5 < truth.sum() < 75
    assert roc_auc_score(truth, (present - absent).numpy()) > 0.7  # of eighty: a deviation is 0.06


def test_what_is_shipped_is_small_and_whole() -> None:
    directory = model_directory(SHORT, ("config", "weights", "tokenizer"))
    files = {path.name: path.stat() for path in directory.iterdir()}
    assert sum(stat.st_size for stat in files.values()) <= 12 * 2**20
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", CHECKSUMS} <= files.keys()
    assert all(stat.st_mode & 0o044 == 0o044 for stat in files.values()), "others can read it"
    card = (directory / "README.md").read_text()
    assert "Measured on" in card and "SHA-256" in card and "no medical device" in card


def test_an_upload_is_asked_for_by_one_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[Any] = []

    class Api:
        def create_repo(self, repository: str, **options: Any) -> None:
            asked.append(("create", repository, options))

        def upload_folder(self, **options: Any) -> None:
            asked.append(("upload", options["repo_id"], options["folder_path"]))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(release, "export_run", lambda *a, **k: [])
    directory = str(model_directory(SHORT))
    release.main(["--to", directory])
    assert not asked
    release.main(["--to", directory, "--push", "owner/name"])
    assert asked == [
        ("create", "owner/name", {"private": True, "exist_ok": True}),
        ("upload", "owner/name", Path(directory)),
    ]


def test_the_shipped_encoder_filters_pairs_as_a_checkpoint_does() -> None:
    embedder = CheckpointEmbedder(model_directory(SHORT))
    vectors = embedder.embed_images(torch.rand(2, 1, 64, 64))
    assert vectors.shape == embedder.embed_texts(["a", "b"]).shape == (2, 128)
    assert len(embedder.describe()["checkpoint_sha256"]) == 64
