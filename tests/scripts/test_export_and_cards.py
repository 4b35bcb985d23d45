"""From a run of the command line to a directory for transformers and to its cards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from main import main
from scripts.exports import cards, export

CALLBACKS = [
    {"class_path": "callbacks.FeatureCollector"},
    {"class_path": "callbacks.ZeroShot"},
    {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"filename": "best", "save_last": True},
    },
    {"class_path": "callbacks.RunSummary"},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run with the towers of the recipe, tested once."""
    os.chdir(Path(__file__).resolve().parents[2])
    directory = tmp_path_factory.mktemp("runs") / "fit"
    artifacts = tmp_path_factory.mktemp("artifacts")
    (artifacts / "few.yaml").write_text(
        yaml.safe_dump({"trainer": {"callbacks": CALLBACKS, "max_epochs": 1}})
    )
    layers = [
        "configs/pretrain.yaml",
        "configs/recipes/smoke.yaml",
        "configs/model/small.yaml",
        str(artifacts / "few.yaml"),
    ]
    chosen = [word for layer in layers for word in ("-c", layer)]
    csv = '--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: ".", name: "", version: ""}}]'
    own = [
        csv,
        f"--run_dir={directory}",
        f"--data.init_args.artifacts_dir={artifacts}",
        "--trainer.enable_progress_bar=false",
    ]
    main(["fit", *chosen, *own])
    main(
        [
            "test",
            "-c",
            str(directory / "config.yaml"),
            f"--ckpt_path={directory / 'checkpoints' / 'last.ckpt'}",
        ]
    )
    return directory


def test_a_run_is_exported_with_its_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import pipeline

    directory = export.main(["--run", str(run), "--checkpoint", "last"])
    assert directory == run / "exported"
    assert "synvlp_image_tower" in capsys.readouterr().out
    card = (directory / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == "zero-shot-image-classification"
    assert "import lightning_modules.exported" in card
    model = export.load(run / "checkpoints" / "last.ckpt")
    classify = pipeline("zero-shot-image-classification", model=str(directory))
    side = model.image_encoder.image_size
    pixels = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    from PIL import Image

    picture = Image.fromarray((pixels[0, 0] * 255).round().byte().numpy()).convert("RGB")
    labels = ["pleural effusion", "no pleural effusion"]
    found = {
        e["label"]: e["score"] for e in classify(picture, candidate_labels=labels, hypothesis_template="{}")
    }
    logits = model.objective.log_scale.exp() * model.encode_image(pixels) @ model.encode_text(labels).T
    assert found == pytest.approx(dict(zip(labels, logits[0].softmax(0).tolist(), strict=True)), abs=1e-4)


def test_a_missing_checkpoint_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"bset\.ckpt: no such checkpoint; there are \['best', 'last'\]"):
        export.main(["--run", str(run), "--checkpoint", "bset"])


def test_a_damaged_configuration_is_named(run: Path, tmp_path: Path) -> None:
    text = (run / "config.yaml").read_text()
    for damaged, said in (
        (text[: len(text) // 2] + "\n learn", "not valid YAML"),
        ("learn", "not a mapping"),
    ):
        (tmp_path / "config.yaml").write_text(damaged)
        with pytest.raises(ValueError, match=rf"config\.yaml: .*{said}"):
            cards.model_card(tmp_path)


def test_cards_say_what_was_measured(run: Path) -> None:
    cards.main(["--run", str(run), "--samples", "20"])
    card = (run / "model_card.md").read_text()
    summary, tested = (json.loads((run / part / "summary.json").read_text()) for part in (".", "test"))
    for found, stage in ((summary, "val"), (tested, "test")):
        assert f"{found[f'{stage}/zero_shot/auroc_macro']:.3f}" in card
        details = found["details"][f"{stage}/zero_shot"]
        assert details["split_sha256"] in card and details["prompts_sha256"] in card
        low = [
            name[6:]
            for name, (low, _) in details["intervals"].items()
            if name.startswith("auroc/") and low <= 0.5
        ]
        assert low and all(name.replace("_", " ") in card for name in low)
    run_details = summary["details"]["fit/run"]
    assert (
        f"| samples seen | {run_details['samples_seen']} |" in card and str(run_details["git_commit"]) in card
    )
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["init_args"]["image_encoder"]["class_path"] in card


def test_the_data_card_counts(run: Path) -> None:
    text = cards.data_card(run, 20)
    config = yaml.safe_load((run / "config.yaml").read_text())["data"]
    data = cards.data_module(config)
    samples = data.source("val").samples(range(20))
    effusion = data.concept_names.index("pleural_effusion")
    present = sum(float(sample.labels[effusion]) == 1 for sample in samples)
    section = text.split("**val: labels**")[1]
    assert f"| pleural_effusion | {present} | {20 - present} | 0 |" in section
    assert data.split_sha256("train")[:16] in text
    assert f"| train | {config['init_args']['train_pairs']:,} | 20 |" in text


def test_cards_of_what_is_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"config\.yaml: no such file; give the directory of a finished run"):
        cards.model_card(tmp_path)
