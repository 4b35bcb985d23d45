"""The text tower of a dual encoder reads the prompts of a generator."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import LatentDiffusion, ReportEncoder
from main import main
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.variational import VariationalImageMaker
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("tiny_generators", ROOT / "tests" / "tiny_generators.py")
assert SPEC is not None and SPEC.loader is not None
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

PROMPTS = ["Large left pleural effusion.", "No acute abnormality. The lungs are clear.", ""]
QUIET = ["--trainer.logger=false", "--trainer.accelerator=cpu"]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The checkpoint of a short `fit` on the real YAML, and the model it was saved from."""
    place = tmp_path_factory.mktemp("dual")
    layers = ("pretrain", "recipes/smoke", "model/tiny")
    args = [word for name in layers for word in ("-c", f"configs/{name}.yaml")]
    args += ["--trainer.max_epochs=1", "--trainer.callbacks=[]", "--trainer.enable_checkpointing=false"]
    line = main(["fit", *args, *QUIET, f"--run_dir={place}", f"--data.init_args.artifacts_dir={place}"])
    line.trainer.save_checkpoint(place / "last.ckpt")
    return place / "last.ckpt", line.model.eval()


def expected(model: Any) -> list[Tensor]:
    """The tokens of each prompt as the dual encoder has them, without padding."""
    tower, found = model.text_encoder, []
    for prompt in PROMPTS:
        encoded = model.tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            found.append(tower({key: encoded[key] for key in ("input_ids", "attention_mask")}).local[0])
    return found


def test_prompts_are_read_as_the_dual_encoder_reads_them(dual: tuple[Path, Any]) -> None:
    path, model = dual
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=32).eval()
    assert encoder.width == model.text_encoder.width and encoder.max_length == 32
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with torch.no_grad():
        tokens, pooled = encoder(PROMPTS)
    assert tokens.shape[:2] == (3, 32)
    for row, own, mean in zip(tokens, expected(model), pooled, strict=True):
        torch.testing.assert_close(row[: len(own)], own, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean, own.mean(0), rtol=1e-4, atol=1e-5)
    tuned = ReportEncoder(pretrained=str(path))
    assert all(parameter.requires_grad for parameter in tuned.parameters())


def case_and_report() -> tuple[Case, Report]:
    case = BalancedCaseSampler().sample(0, "train", 0)
    return case, GrammarWriter().write([case], [0])[0]


def test_a_generator_is_trained_on_it_and_its_export_draws(dual: tuple[Path, Any], tmp_path: Path) -> None:
    from transformers import AutoModel

    path, model = dual
    small = {
        "train_pairs": 16,
        "val_pairs": 4,
        "loader.batch_size": 8,
        "loader.num_workers": 0,
        "tokenizer_reports": 200,
    }
    small |= {"cache_dir": tmp_path / "cache", "artifacts_dir": tmp_path}
    main(
        [
            *("fit", "-c", "configs/generator/base.yaml", "-c", "configs/generator/variational.yaml"),
            *("-c", "configs/generator/report_encoder/dual_encoder.yaml"),
            f"--model.init_args.report_encoder.init_args.pretrained={path}",
            *("--model.init_args.width=8", "--model.init_args.latent_dim=8", "--trainer.max_epochs=1"),
            *(f"--data.init_args.{name}={value}" for name, value in small.items()),
            *QUIET,
            f"--run_dir={tmp_path / 'run'}",
        ]
    )
    export = tmp_path / "run" / "export"
    exported = AutoModel.from_pretrained(export / "text_encoder", add_pooling_layer=False)
    own = model.text_encoder.bert.state_dict()
    assert exported.state_dict().keys() == own.keys()
    assert all(torch.equal(value, own[name]) for name, value in exported.state_dict().items()), "frozen"
    maker = VariationalImageMaker(directory=export, image_size=64)
    case, report = case_and_report()
    image = maker.make([case], [report], [0]).images
    assert image.shape == (1, 1, 64, 64) and image.isfinite().all()


def test_a_pipeline_reads_with_it(dual: tuple[Path, Any], tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    path, model = dual
    given = tiny.stable_diffusion(tmp_path / "given")
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=16)
    LatentDiffusion(encoder, autoencoder=str(given / "vae"), unet=tiny.UNET).export(tmp_path / "export")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "export")
    tokens, _ = pipeline.encode_prompt(PROMPTS, "cpu", 1, False)
    for row, own in zip(tokens, expected(model), strict=True):
        torch.testing.assert_close(row[: len(own)], own, rtol=1e-4, atol=1e-5)


def test_what_is_no_dual_encoder_is_refused(dual: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pretrained='gone\.ckpt' is no file; train a dual encoder"):
        ReportEncoder(pretrained="gone.ckpt")
    checkpoint = torch.load(dual[0], weights_only=True)
    del checkpoint["tokenizer"]
    torch.save(checkpoint, tmp_path / "bare.ckpt")
    with pytest.raises(ValueError, match=r"holds a DualEncoder without a BERT and its tokenizer"):
        ReportEncoder(pretrained=str(tmp_path / "bare.ckpt"))
