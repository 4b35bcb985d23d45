from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.cli import LightningCLI

from lightning_modules import ConceptAwareInfoNCE, DualEncoder

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "model"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


def build(*arguments: str) -> DualEncoder:
    """Build the model as main.py would."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
        line = LightningCLI(
            L.LightningModule,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            parser_kwargs={"parser_mode": "omegaconf+"},
            run=False,
            args=list(arguments),
        )
    assert isinstance(line.model, DualEncoder)
    return line.model


@pytest.mark.parametrize("name", NAMES)
def test_every_model_file_builds_a_model(name: str) -> None:
    with torch.device("meta"):  # no memory, no time
        model = build(f"--config={CONFIGS / name}")
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(
        {"tiny.yaml": 0.18, "small.yaml": 2.86, "vit_b_bert_b.yaml": 175}[name], rel=0.05
    )


def test_sweep_keys_reach_the_model() -> None:
    model = build(
        f"--config={CONFIGS / 'tiny.yaml'}",
        "--model.init_args.learning_rate=0.002",
        "--model.init_args.betas=[0.8, 0.95]",
        "--model.init_args.warmup=20",
        "--model.init_args.objective=ConceptAwareInfoNCE",
        "--model.init_args.objective.init_args.temperature=0.1",
        "--model.init_args.image_encoder.init_args.patch_drop=0.25",
        "--model.init_args.image_encoder.init_args.stem_channels=[4, 8, 8, 16]",
    )
    assert (model.learning_rate, model.betas, model.warmup) == (0.002, (0.8, 0.95), 20)
    assert isinstance(model.warmup, int) and model.image_encoder.patch_drop == 0.25
    assert isinstance(model.objective, ConceptAwareInfoNCE)
    assert model.objective.log_scale.exp().item() == pytest.approx(10)


def test_checkpoint_of_the_command_line_holds_its_configuration_and_rebuilds_the_model(
    data: Any,
    tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trainer: Callable[..., L.Trainer],
) -> None:
    model = build(
        f"--config={CONFIGS / 'tiny.yaml'}", "--model.init_args.image_encoder.init_args.image_size=32"
    )
    fit = trainer(max_steps=2)
    fit.fit(model, data(tokenizer=tokenizer))
    fit.save_checkpoint(tmp_path / "last.ckpt")
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["hyper_parameters"]
    assert stored["image_encoder"]["init_args"]["width"] == 32
    assert stored["_class_path"] == "lightning_modules.DualEncoder"
    loaded = L.LightningModule.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert isinstance(loaded, DualEncoder)
    images = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(loaded.encode_image(images), model.encode_image(images))
    torch.testing.assert_close(loaded.encode_text(["left mass"]), model.encode_text(["left mass"]))
